// SPDX-License-Identifier: Apache-2.0
#include "kernels/rowwise/residual_add.hpp"

#include "kernels/common/operation_cost.hpp"
#include "kernels/common/rows.hpp"

namespace m2 {

template <class T>
void residual_add(const ExecSpace& exec, View2D<const T> x_TD, View2D<const T> h_TD, View2D<T> out_TD) {
  require_same_shape("residual_add", "x_TD", x_TD, "h_TD", h_TD);
  require_same_shape("residual_add", "x_TD", x_TD, "out_TD", out_TD);
  const LoggedOperation logged(exec, "residual_add", [&] { return array_cost(x_TD, h_TD, out_TD); });
  const int width = x_TD.extent_int(1);
  Kokkos::parallel_for(
      "m2::residual_add", row_policy(exec, x_TD.extent_int(0)), KOKKOS_LAMBDA(const RowMember& team) {
        const T* x = row(x_TD, team.league_rank());
        const T* h = row(h_TD, team.league_rank());
        row_store(team, width, row(out_TD, team.league_rank()), [=](int d) { return float(h[d]) + float(x[d]); });
      });
}

template void residual_add<float>(const ExecSpace&, View2D<const float>, View2D<const float>, View2D<float>);
template void residual_add<Bf16>(const ExecSpace&, View2D<const Bf16>, View2D<const Bf16>, View2D<Bf16>);

}  // namespace m2
