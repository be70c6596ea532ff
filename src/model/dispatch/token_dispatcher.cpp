// SPDX-License-Identifier: Apache-2.0
#include "model/dispatch/token_dispatcher.hpp"

#include "kernels/moe/permute.hpp"

namespace m2 {

template <class T>
void LocalDispatcher::forward(const ExecSpace& exec, View2D<const T> x_TD, const MoEActivations<T>& buffers,
                              const RunExperts<T>& run_experts, View2D<T> out_TD) const {
  const auto& [expert_TK, weight_TK] = std::tie(buffers.routing.expert_TK, buffers.routing.weight_TK);
  const LocalDispatchBuffers<T>& local = *buffers.local;
  permute_plan(exec, expert_TK, moe_.n_routed_experts, local.permute_scratch, local.rows.offset_L1, local.row_TK,
               local.token_R);
  permute_weights(exec, weight_TK, local.row_TK, local.rows.weight_R);
  gather_rows<T>(exec, x_TD, local.token_R, local.rows.x_RD);
  run_experts(local.rows);
  const View2D<const float> weight = moe_.apply_router_weight_after_down ? weight_TK : View2D<float>();
  combine<T>(exec, local.rows.y_RD, local.row_TK, weight, out_TD);
}

template void LocalDispatcher::forward<float>(const ExecSpace&, View2D<const float>, const MoEActivations<float>&,
                                              const RunExperts<float>&, View2D<float>) const;
template void LocalDispatcher::forward<Bf16>(const ExecSpace&, View2D<const Bf16>, const MoEActivations<Bf16>&,
                                             const RunExperts<Bf16>&, View2D<Bf16>) const;

}  // namespace m2
