// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/simd.hpp"
#include "kernels/gemm/gemm_providers.hpp"

namespace m2 {

// The provider `kokkos` on devices: a warp computes one output of kWarpRows rows, its lanes striding through K, so
// weights and activations are read in whole cache lines. The order of an output's sum depends on K alone.

constexpr int kWarpRows = 8;
constexpr int kTeamOutputs = 32;
constexpr int kTeamRows = 64;

/// One partial sum for each row of a warp.
struct RowSums {
  float value[kWarpRows] = {};

  KOKKOS_INLINE_FUNCTION RowSums& operator+=(const RowSums& other) {
    for (int m = 0; m < kWarpRows; ++m) value[m] += other.value[m];
    return *this;
  }
};

}  // namespace m2

template <>
struct Kokkos::reduction_identity<m2::RowSums> {
  KOKKOS_FORCEINLINE_FUNCTION static m2::RowSums sum() { return {}; }
};

namespace m2 {

/// A team computes kTeamOutputs outputs of a group; a group is an expert's rows, or without offsets kTeamRows rows.
template <class T, class W, class Out>
void multiply_groups(const ExecSpace& exec, View2D<const T> x_RK, const Weight& weight, View1D<const int> offset_E1,
                     View2D<Out> y_RN) {
  const View3D<const W> w_ENK = weight.values<W>();
  const View3D<const float> scale_inv = weight.scale_inv();
  using Policy = Kokkos::TeamPolicy<ExecSpace>;
  const int num_rows = x_RK.extent_int(0), num_columns = x_RK.extent_int(1), num_outputs = y_RN.extent_int(1);
  const int outputs_per_part = num_outputs / weight.num_row_parts();
  const bool is_grouped = offset_E1.extent(0) > 0;
  const int num_groups = is_grouped ? w_ENK.extent_int(0) : (num_rows + kTeamRows - 1) / kTeamRows;
  const int teams_per_group = (num_outputs + kTeamOutputs - 1) / kTeamOutputs;
  const Policy policy(exec, num_groups * teams_per_group, Kokkos::AUTO, 32);
  Kokkos::parallel_for(
      is_grouped ? "m2::grouped_gemm" : "m2::gemm", policy, KOKKOS_LAMBDA(const Policy::member_type& team) {
        const int group = team.league_rank() / teams_per_group, e = is_grouped ? group : 0;
        const int begin = is_grouped ? offset_E1(group) : group * kTeamRows;
        const int end = is_grouped ? offset_E1(group + 1) : Kokkos::min(begin + kTeamRows, num_rows);
        const int output = team.league_rank() % teams_per_group * kTeamOutputs;
        const int output_end = Kokkos::min(output + kTeamOutputs, num_outputs);
        Kokkos::parallel_for(Kokkos::TeamThreadRange(team, output, output_end), [&](int n) {
          for (int row = begin; row < end; row += kWarpRows) {
            RowSums sums;
            Kokkos::parallel_reduce(
                Kokkos::ThreadVectorRange(team, num_columns),
                [&](int k, RowSums& partial) {
                  float w = float(w_ENK(e, n, k));
                  if (scale_inv.extent(0) > 0) w *= scale_inv(e, fp8_scale_row(n, outputs_per_part), k / kFp8Block);
                  for (int m = 0; m < kWarpRows; ++m) {
                    const float x =
                        float(x_RK(Kokkos::min(row + m, end - 1), k));  // rows beyond the end: dropped below
                    partial.value[m] = fused_multiply_add(x, w, partial.value[m]);
                  }
                },
                Kokkos::Sum<RowSums>(sums));
            Kokkos::single(Kokkos::PerThread(team), [&] {
              for (int m = 0; m < kWarpRows && row + m < end; ++m) y_RN(row + m, n) = Out(sums.value[m]);
            });
          }
        });
      });
}

#define M2_INSTANTIATE_MULTIPLY_GROUPS(T, W, Out)                                                               \
  template void multiply_groups<T, W, Out>(const ExecSpace&, View2D<const T>, const Weight&, View1D<const int>, \
                                           View2D<Out>)
M2_FOR_GEMM_AND_WEIGHT_TYPES(M2_INSTANTIATE_MULTIPLY_GROUPS);
#undef M2_INSTANTIATE_MULTIPLY_GROUPS

}  // namespace m2
