// SPDX-License-Identifier: Apache-2.0
#include "model/dispatch/local_dispatcher.hpp"

#include "kernels/moe/permute.hpp"

namespace m2 {

template <class T>
LocalHandle<T> LocalDispatcher::dispatch(const ExecSpace& exec, View2D<const T> x_TD, const Routing& routing,
                                         const MoEActivations<T>& buffers) const {
  const LocalPlan plan = buffers.local->plan
                             ? *buffers.local->plan
                             : LocalPlan(x_TD.extent(0), routing.expert_TK.extent_int(1), num_experts_, *buffers.plans);
  permute_plan(exec, routing.expert_TK, num_experts_, buffers.local->permute_scratch, plan.offset_E1, plan.row_TK,
               plan.token_R);
  const ExpertRows<T> rows = buffers.local->rows.first(plan.token_R.extent(0), plan.offset_E1);
  permute_weights(exec, routing.weight_TK, plan.row_TK, rows.weight_R);
  gather_rows<T>(exec, x_TD, plan.token_R, rows.x_RD);
  return LocalHandle<T>(routing, plan, rows);
}

template <class T>
void LocalDispatcher::combine(const ExecSpace& exec, const LocalHandle<T>& handle, View2D<T> out_TD) const {
  const View2D<const float> weight_TK = weigh_answers_ ? handle.routing().weight_TK : View2D<float>();
  m2::combine<T>(exec, handle.answer_RD(), handle.plan().row_TK, weight_TK, out_TD);
}

#define M2_INSTANTIATE_LOCAL_DISPATCHER(T)                                                             \
  template LocalHandle<T> LocalDispatcher::dispatch(const ExecSpace&, View2D<const T>, const Routing&, \
                                                    const MoEActivations<T>&) const;                   \
  template void LocalDispatcher::combine(const ExecSpace&, const LocalHandle<T>&, View2D<T>) const
M2_INSTANTIATE_LOCAL_DISPATCHER(float);
M2_INSTANTIATE_LOCAL_DISPATCHER(Bf16);
#undef M2_INSTANTIATE_LOCAL_DISPATCHER

}  // namespace m2
