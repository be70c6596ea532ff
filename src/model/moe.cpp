// SPDX-License-Identifier: Apache-2.0
#include "model/moe.hpp"

#include <numeric>

#include "kernels/moe/permute.hpp"
#include "kernels/rowwise/residual_add.hpp"

namespace m2 {
namespace {

std::vector<int> rank_experts(int layer, const MiniMaxM2Config& config,
                              const std::shared_ptr<ExpertParallel>& parallel) {
  if (parallel) return parallel->placement.experts_of(layer, parallel->group->rank());
  std::vector<int> all(config.num_local_experts);
  std::iota(all.begin(), all.end(), 0);
  return all;
}

std::variant<LocalDispatcher, AllToAllDispatcher> make_dispatcher(int layer, const MoEConfig& moe,
                                                                  const std::shared_ptr<ExpertParallel>& parallel) {
  if (parallel) return AllToAllDispatcher(moe, parallel, layer);
  return LocalDispatcher(moe);
}

}  // namespace

MoE::MoE(int layer_idx, const std::shared_ptr<const ModelConfig>& config,
         const std::shared_ptr<ExpertParallel>& parallel)
    : gate(config),
      experts(config, rank_experts(layer_idx, config->architecture, parallel)),
      dispatcher_(make_dispatcher(layer_idx, config->moe, parallel)) {}

template <class T>
void MoE::backward(const ExecSpace& exec, View2D<const T> x_TD, const PackedBatch& batch,
                   const MoEActivations<T>& saved, const BackwardBuffers<T>& buffers, View2D<const T> dout_TD,
                   View2D<T> dx_TD) const {
  const LocalPlan& plan = *saved.local->plan;
  const ExpertRows<T> rows = saved.local->rows.first(plan.token_R.extent(0), plan.offset_E1);
  {
    const OperationPlace place("dispatch");
    gather_rows<T>(exec, x_TD, plan.token_R, rows.x_RD);
    gather_rows<T>(exec, dout_TD, plan.token_R, rows.y_RD);
    permute_weights(exec, saved.routing.weight_TK, plan.row_TK, rows.weight_R);
  }
  if (!rows.keeps_gate_up) experts.recompute<T>(exec, rows);
  experts.backward<T>(exec, rows, buffers.dweight_R, buffers.lora_dhidden);
  const OperationPlace place("dispatch");
  combine<T>(exec, rows.y_RD, plan.row_TK, /*weight_TK=*/{}, dx_TD);
  gather_weights(exec, buffers.dweight_R, plan.row_TK, buffers.dweight_TK);
  gate.backward<T>(exec, x_TD, batch.skip_experts_T, saved.routing, plan, buffers, buffers.part_TD);
  residual_add<T>(exec, buffers.part_TD, dx_TD, dx_TD);
}

#define M2_INSTANTIATE_MOE(T)                                                                                  \
  template void MoE::backward(const ExecSpace&, View2D<const T>, const PackedBatch&, const MoEActivations<T>&, \
                              const BackwardBuffers<T>&, View2D<const T>, View2D<T>) const
M2_INSTANTIATE_MOE(float);
M2_INSTANTIATE_MOE(Bf16);
#undef M2_INSTANTIATE_MOE

}  // namespace m2
