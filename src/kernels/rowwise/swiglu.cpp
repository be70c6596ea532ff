// SPDX-License-Identifier: Apache-2.0
#include "kernels/rowwise/swiglu.hpp"

#include "kernels/common/math.hpp"
#include "kernels/common/operation_cost.hpp"
#include "kernels/common/rows.hpp"

namespace m2 {

template <class T>
void swiglu(const ExecSpace& exec, View2D<const T> gate_up_R2F, View1D<const float> row_weight_R, View2D<T> out_RF) {
  require_same("swiglu", "rows of gate_up_R2F", gate_up_R2F.extent(0), "rows of out_RF", out_RF.extent(0));
  require_same("swiglu", "columns of gate_up_R2F", gate_up_R2F.extent(1), "twice the columns of out_RF",
               2 * out_RF.extent(1));
  const bool weighted = row_weight_R.extent(0) > 0;
  if (weighted) {
    require_same("swiglu", "elements of row_weight_R", row_weight_R.extent(0), "rows of out_RF", out_RF.extent(0));
  }
  const LoggedOperation logged(exec, "swiglu", [&] { return array_cost(gate_up_R2F, out_RF); });
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

template void swiglu<float>(const ExecSpace&, View2D<const float>, View1D<const float>, View2D<float>);
template void swiglu<Bf16>(const ExecSpace&, View2D<const Bf16>, View1D<const float>, View2D<Bf16>);

}  // namespace m2
