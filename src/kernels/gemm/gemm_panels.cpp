// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <type_traits>

#include "kernels/gemm/gemm_providers.hpp"
#include "kernels/gemm/panel_tasks.hpp"

namespace m2 {

template <class Out>
void gemm_panels(const ExecSpace& exec, View2D<const Bf16> x_RK, const Weight& w_ENK, View1D<const int> offset_E1,
                 View2D<Out> y_RN) {
  const Panels panels(w_ENK);
  const PanelTasks tasks(exec, RowGroups(offset_E1, x_RK.extent_int(0)), panels.per_matrix(), kMaxPanels);
  const MultiplyPanels multiply = panel_kernel();
  Kokkos::parallel_for(offset_E1.extent(0) > 0 ? "m2::grouped_gemm" : "m2::gemm", tasks.policy(exec),
                       [=](std::int64_t i) {
                         const auto [group, first, last] = tasks[i];
                         for (int begin = group.begin; begin < group.end; begin += kPanelMaxRows) {
                           PanelProduct product = begin_product(x_RK, begin, std::min(begin + kPanelMaxRows, group.end),
                                                                y_RN.extent_int(1), std::is_same_v<Out, float>);
                           for (int panel = first; panel < last; ++panel)
                             product.add(panels.operand(group.matrix, panel, &y_RN(begin, panel * kPanelRows)));
                           multiply(product);
                         }
                       });
}

template void gemm_panels(const ExecSpace&, View2D<const Bf16>, const Weight&, View1D<const int>, View2D<Bf16>);
template void gemm_panels(const ExecSpace&, View2D<const Bf16>, const Weight&, View1D<const int>, View2D<float>);

}  // namespace m2
