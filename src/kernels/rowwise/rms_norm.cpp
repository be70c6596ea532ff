// SPDX-License-Identifier: Apache-2.0
#include "kernels/rowwise/rms_norm.hpp"

#include "kernels/common/operation_cost.hpp"
#include "kernels/common/rows.hpp"

namespace m2 {

template <class T>
void rms_norm(const ExecSpace& exec, View2D<const T> x_TD, View1D<const float> weight_D, float eps, RmsNormOrder order,
              View2D<T> out_TD) {
  require_same("rms_norm", "elements of weight_D", weight_D.extent(0), "columns of x_TD", x_TD.extent(1));
  require_same_shape("rms_norm", "x_TD", x_TD, "out_TD", out_TD);
  const LoggedOperation logged(exec, "rms_norm", [&] { return array_cost(x_TD, out_TD); });
  const int width = x_TD.extent_int(1);
  const bool cast_first = order == RmsNormOrder::cast_first;
  Kokkos::parallel_for(
      "m2::rms_norm", row_policy(exec, x_TD.extent_int(0)), KOKKOS_LAMBDA(const RowMember& team) {
        const T* x = row(x_TD, team.league_rank());
        const float* weight = weight_D.data();
        const float sum_of_squares = row_sum(team, width, [=](int d) { return float(x[d]) * float(x[d]); });
        const float inverse_rms = 1.0f / Kokkos::sqrt(sum_of_squares / float(width) + eps);
        row_store(team, width, row(out_TD, team.league_rank()), [=](int d) {
          const float normalised = float(x[d]) * inverse_rms;
          return weight[d] * (cast_first ? float(T(normalised)) : normalised);
        });
      });
}

template void rms_norm<float>(const ExecSpace&, View2D<const float>, View1D<const float>, float, RmsNormOrder,
                              View2D<float>);
template void rms_norm<Bf16>(const ExecSpace&, View2D<const Bf16>, View1D<const float>, float, RmsNormOrder,
                             View2D<Bf16>);

}  // namespace m2
