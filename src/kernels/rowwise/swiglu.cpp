// SPDX-License-Identifier: Apache-2.0
#include "kernels/rowwise/swiglu.hpp"

#include "kernels/common/math.hpp"
#include "kernels/common/operation_cost.hpp"
#include "kernels/common/rows.hpp"

namespace m2 {
namespace {

// `rows` and `twice_columns` are words for those of out_RF.
template <class T>
void require_shapes(std::string_view operation, View2D<const T> gate_up_R2F, View1D<const float> row_weight_R,
                    std::string_view rows, std::string_view twice_columns, View2D<const T> out_RF) {
  require_same(operation, "rows of gate_up_R2F", gate_up_R2F.extent(0), rows, out_RF.extent(0));
  require_same(operation, "columns of gate_up_R2F", gate_up_R2F.extent(1), twice_columns, 2 * out_RF.extent(1));
  if (row_weight_R.extent(0) > 0) {
    require_same(operation, "elements of row_weight_R", row_weight_R.extent(0), rows, out_RF.extent(0));
  }
}

}  // namespace

template <class T>
void swiglu(const ExecSpace& exec, View2D<const T> gate_up_R2F, View1D<const float> row_weight_R, View2D<T> out_RF) {
  require_shapes<T>("swiglu", gate_up_R2F, row_weight_R, "rows of out_RF", "twice the columns of out_RF", out_RF);
  const LoggedOperation logged(exec, "swiglu", [&] { return array_cost(gate_up_R2F, out_RF); });
  const bool weighted = row_weight_R.extent(0) > 0;
  const int width = out_RF.extent_int(1);
  Kokkos::parallel_for(
      "m2::swiglu", row_policy(exec, out_RF.extent_int(0)), KOKKOS_LAMBDA(const RowMember& team) {
        const int r = team.league_rank();
        const T* gate = row(gate_up_R2F, r);
        const T* up = gate + width;
        const float weight = weighted ? row_weight_R(r) : 1.0f;
        row_store(team, width, row(out_RF, r), [=](int f) { return silu(float(gate[f])) * float(up[f]) * weight; });
      });
}

template <class T>
void swiglu_backward(const ExecSpace& exec, View2D<const T> gate_up_R2F, View1D<const float> row_weight_R,
                     View2D<const T> dout_RF, View2D<T> dgate_up_R2F, View2D<T> activated_RF,
                     View1D<float> drow_weight_R) {
  require_shapes<T>("swiglu_backward", gate_up_R2F, row_weight_R, "rows of dout_RF", "twice the columns of dout_RF",
                    dout_RF);
  require_same_shape("swiglu_backward", "gate_up_R2F", gate_up_R2F, "dgate_up_R2F", dgate_up_R2F);
  require_same_shape("swiglu_backward", "dout_RF", dout_RF, "activated_RF", activated_RF);
  const bool weighted = row_weight_R.extent(0) > 0, weight_too = drow_weight_R.extent(0) > 0;
  if (weight_too) {
    require_same("swiglu_backward", "elements of drow_weight_R", drow_weight_R.extent(0), "rows of dout_RF",
                 dout_RF.extent(0));
  }
  const LoggedOperation logged(exec, "swiglu_backward",
                               [&] { return array_cost(gate_up_R2F, dout_RF, dgate_up_R2F, activated_RF); });
  const int width = dout_RF.extent_int(1);
  Kokkos::parallel_for(
      "m2::swiglu_backward", row_policy(exec, dout_RF.extent_int(0)), KOKKOS_LAMBDA(const RowMember& team) {
        const int r = team.league_rank();
        const T* gate = row(gate_up_R2F, r);
        const T* up = gate + width;
        const T* dout = row(dout_RF, r);
        T* dgate = row(dgate_up_R2F, r);
        T* dup = dgate + width;
        T* activated = row(activated_RF, r);
        const float weight = weighted ? row_weight_R(r) : 1.0f;
        if (weight_too) {  // before the outputs, which may be the inputs
          const float sum =
              row_sum(team, width, [=](int f) { return float(dout[f]) * (silu(float(gate[f])) * float(up[f])); });
          Kokkos::single(Kokkos::PerTeam(team), [&]() { drow_weight_R(r) = sum; });
        }
        row_tiles(team, width, [&](int first, auto tile_width) {
          constexpr int kWidth = decltype(tile_width)::value;
          float dgate_tile[kWidth], dup_tile[kWidth], activated_tile[kWidth];
          for (int l = 0; l < kWidth; ++l) {
            const float z = float(gate[first + l]), u = float(up[first + l]), g = weight * float(dout[first + l]);
            const float s = sigmoid(z), silu_z = silu(z);
            dgate_tile[l] = g * u * (s + silu_z * (1.0f - s));
            dup_tile[l] = g * silu_z;
            activated_tile[l] = silu_z * u * weight;
          }
          for (int l = 0; l < kWidth; ++l) dgate[first + l] = T(dgate_tile[l]);
          for (int l = 0; l < kWidth; ++l) dup[first + l] = T(dup_tile[l]);
          for (int l = 0; l < kWidth; ++l) activated[first + l] = T(activated_tile[l]);
        });
      });
}

template void swiglu<float>(const ExecSpace&, View2D<const float>, View1D<const float>, View2D<float>);
template void swiglu<Bf16>(const ExecSpace&, View2D<const Bf16>, View1D<const float>, View2D<Bf16>);
template void swiglu_backward<float>(const ExecSpace&, View2D<const float>, View1D<const float>, View2D<const float>,
                                     View2D<float>, View2D<float>, View1D<float>);
template void swiglu_backward<Bf16>(const ExecSpace&, View2D<const Bf16>, View1D<const float>, View2D<const Bf16>,
                                    View2D<Bf16>, View2D<Bf16>, View1D<float>);

}  // namespace m2
