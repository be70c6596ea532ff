// SPDX-License-Identifier: Apache-2.0
#include "model/dispatch/all_to_all_dispatcher.hpp"

#include "kernels/moe/permute.hpp"

namespace m2 {

AllToAllDispatcher::AllToAllDispatcher(const MoEConfig& moe, std::shared_ptr<ExpertParallel> parallel, int layer)
    : layer_(layer) {
  const int num_rank_experts = int(parallel->placement.experts_of(layer, parallel->group->rank()).size());
  experts_ = {.parallel = std::move(parallel),
              .map = {},
              .num_rank_experts = num_rank_experts,
              .weigh_answers = moe.apply_router_weight_after_down};
}

template <class T>
ExchangeHandle<T> AllToAllDispatcher::dispatch(const ExecSpace& exec, View2D<const T> x_TD, const Routing& routing,
                                               const MoEActivations<T>& buffers) const {
  if (experts_.map.first_E1.extent(0) == 0) experts_.map = experts_.parallel->map(exec, layer_);
  return ExchangeHandle<T>(exec, experts_, x_TD, routing, buffers);
}

template <class T>
void AllToAllDispatcher::combine(const ExecSpace& exec, ExchangeHandle<T>& handle, View2D<T> out_TD) const {
  handle.wait(exec);
  if (experts_.parallel->reduce_answers) {
    m2::combine<T>(exec, handle.answer_QD(), handle.places().row_TK, View2D<const float>(), out_TD);
  } else {
    const View2D<const float> weight_TK = experts_.weigh_answers ? handle.routing().weight_TK : View2D<float>();
    m2::combine<T>(exec, handle.answer_QD(), handle.places().place_TK, weight_TK, out_TD);
  }
}

#define M2_INSTANTIATE_ALL_TO_ALL_DISPATCHER(T)                                                              \
  template ExchangeHandle<T> AllToAllDispatcher::dispatch(const ExecSpace&, View2D<const T>, const Routing&, \
                                                          const MoEActivations<T>&) const;                   \
  template void AllToAllDispatcher::combine(const ExecSpace&, ExchangeHandle<T>&, View2D<T>) const
M2_INSTANTIATE_ALL_TO_ALL_DISPATCHER(float);
M2_INSTANTIATE_ALL_TO_ALL_DISPATCHER(Bf16);
#undef M2_INSTANTIATE_ALL_TO_ALL_DISPATCHER

}  // namespace m2
