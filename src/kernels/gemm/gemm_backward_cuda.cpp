// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/simd.hpp"
#include "kernels/gemm/gemm_backward_variants.hpp"

namespace m2 {

// On devices a thread computes one column of kRowsPerThread rows, so that a warp reads the contiguous operand in whole
// cache lines and each sum is the chain that hosts compute.

namespace {

constexpr int kRowsPerThread = 8;
constexpr int kColumnsPerTeam = 128;
constexpr int kRowsPerTeam = 64;

int count_blocks(int count, int block) { return (count + block - 1) / block; }

}  // namespace

/// A team computes kColumnsPerTeam columns of a group; a group is an expert's rows, or without offsets kRowsPerTeam
/// rows.
template <class DY, class W, class DX>
void multiply_by_weight(const ExecSpace& exec, View2D<const DY> dy_RN, const Weight& weight,
                        View1D<const int> offset_E1, View2D<DX> dx_RK) {
  const View3D<const W> w_ENK = weight.values<W>();
  const View3D<const float> scale_inv = weight.scale_inv();
  const int num_rows = dy_RN.extent_int(0), chain = dy_RN.extent_int(1), num_columns = dx_RK.extent_int(1);
  const int rows_per_part = weight.num_rows() / weight.num_row_parts();
  const bool is_grouped = offset_E1.extent(0) > 0;
  const int num_groups = is_grouped ? w_ENK.extent_int(0) : count_blocks(num_rows, kRowsPerTeam);
  const int teams_per_group = count_blocks(num_columns, kColumnsPerTeam);
  using Policy = Kokkos::TeamPolicy<ExecSpace>;
  const Policy policy(exec, num_groups * teams_per_group, Kokkos::AUTO, 32);
  Kokkos::parallel_for(
      "m2::gemm_backward_input", policy, KOKKOS_LAMBDA(const Policy::member_type& team) {
        const int group = team.league_rank() / teams_per_group, e = is_grouped ? group : 0;
        const int begin = is_grouped ? offset_E1(group) : group * kRowsPerTeam;
        const int end = is_grouped ? offset_E1(group + 1) : Kokkos::min(begin + kRowsPerTeam, num_rows);
        const int column = team.league_rank() % teams_per_group * kColumnsPerTeam;
        const int column_end = Kokkos::min(column + kColumnsPerTeam, num_columns);
        Kokkos::parallel_for(Kokkos::TeamVectorRange(team, column, column_end), [&](int k) {
          for (int row = begin; row < end; row += kRowsPerThread) {
            float sum[kRowsPerThread] = {};
            for (int n = 0; n < chain; ++n) {
              float w = float(w_ENK(e, n, k));
              if (scale_inv.extent(0) > 0) w *= scale_inv(e, fp8_scale_row(n, rows_per_part), k / kFp8Block);
              for (int m = 0; m < kRowsPerThread; ++m) {
                const float dy = float(dy_RN(Kokkos::min(row + m, end - 1), n));  // beyond the end: dropped below
                sum[m] = fused_multiply_add(dy, w, sum[m]);
              }
            }
            for (int m = 0; m < kRowsPerThread && row + m < end; ++m) dx_RK(row + m, k) = DX(sum[m]);
          }
        });
      });
}

/// A team computes kRowsPerThread rows of a matrix's gradient and kColumnsPerTeam of its columns.
template <class DY, class X>
void add_weight_gradient(const ExecSpace& exec, View2D<const DY> dy_RN, View2D<const X> x_RK,
                         View1D<const int> offset_E1, View3D<float> dw_ENK) {
  const int num_outputs = dw_ENK.extent_int(1), num_columns = dw_ENK.extent_int(2);
  const bool is_grouped = offset_E1.extent(0) > 0;
  const int row_blocks = count_blocks(num_outputs, kRowsPerThread),
            column_blocks = count_blocks(num_columns, kColumnsPerTeam);
  using Policy = Kokkos::TeamPolicy<ExecSpace>;
  const Policy policy(exec, dw_ENK.extent_int(0) * row_blocks * column_blocks, Kokkos::AUTO, 32);
  Kokkos::parallel_for(
      "m2::gemm_backward_weight", policy, KOKKOS_LAMBDA(const Policy::member_type& team) {
        const int e = team.league_rank() / column_blocks / row_blocks;
        const int begin = is_grouped ? offset_E1(e) : 0, end = is_grouped ? offset_E1(e + 1) : dy_RN.extent_int(0);
        if (begin == end) return;
        const int output = team.league_rank() / column_blocks % row_blocks * kRowsPerThread;
        const int column = team.league_rank() % column_blocks * kColumnsPerTeam;
        const int column_end = Kokkos::min(column + kColumnsPerTeam, num_columns);
        Kokkos::parallel_for(Kokkos::TeamVectorRange(team, column, column_end), [&](int k) {
          float sum[kRowsPerThread] = {};
          for (int r = begin; r < end; ++r) {
            const float x = float(x_RK(r, k));
            for (int m = 0; m < kRowsPerThread; ++m) {
              const float dy = float(dy_RN(r, Kokkos::min(output + m, num_outputs - 1)));  // beyond the end: dropped
              sum[m] = fused_multiply_add(dy, x, sum[m]);
            }
          }
          for (int m = 0; m < kRowsPerThread && output + m < num_outputs; ++m) dw_ENK(e, output + m, k) += sum[m];
        });
      });
}

M2_FOR_GEMM_BACKWARD_TYPES(M2_INSTANTIATE_GEMM_BACKWARD);

}  // namespace m2
