// SPDX-License-Identifier: Apache-2.0
#include "model/token_dispatcher.hpp"

#include "kernels/permute.hpp"

namespace m2 {

template <class T>
void TokenDispatcher::dispatch(const ExecSpace& exec, View2D<const T> x_TD, const MoEActivations<T>& buffers) const {
  permute_plan(exec, buffers.expert_TK, moe_.n_routed_experts, buffers.permute_scratch, buffers.offset_E1,
               buffers.row_TK, buffers.token_R);
  permute_weights(exec, buffers.weight_TK, buffers.row_TK, buffers.weight_R);
  gather_rows<T>(exec, x_TD, buffers.token_R, buffers.x_RD);
}

template <class T>
void TokenDispatcher::combine(const ExecSpace& exec, const MoEActivations<T>& buffers, View2D<T> out_TD) const {
  const View2D<const float> weight_TK = moe_.apply_router_weight_after_down ? buffers.weight_TK : View2D<float>();
  m2::combine<T>(exec, buffers.y_RD, buffers.row_TK, weight_TK, out_TD);
}

template void TokenDispatcher::dispatch<float>(const ExecSpace&, View2D<const float>,
                                               const MoEActivations<float>&) const;
template void TokenDispatcher::dispatch<Bf16>(const ExecSpace&, View2D<const Bf16>, const MoEActivations<Bf16>&) const;
template void TokenDispatcher::combine<float>(const ExecSpace&, const MoEActivations<float>&, View2D<float>) const;
template void TokenDispatcher::combine<Bf16>(const ExecSpace&, const MoEActivations<Bf16>&, View2D<Bf16>) const;

}  // namespace m2
