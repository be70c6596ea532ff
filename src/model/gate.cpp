// SPDX-License-Identifier: Apache-2.0
#include "model/gate.hpp"

#include "core/operation_log.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/gemm/gemm_backward.hpp"
#include "kernels/moe/auxiliary_loss.hpp"
#include "kernels/moe/router.hpp"

namespace m2 {
namespace {

void clear_weights(const ExecSpace& exec, View1D<const std::uint8_t> skip_T, View2D<float> weight_TK) {
  const int top_k = weight_TK.extent_int(1);
  Kokkos::parallel_for(
      "m2::gate::clear_weights", Kokkos::RangePolicy<ExecSpace>(exec, 0, skip_T.extent(0)), KOKKOS_LAMBDA(int t) {
        if (skip_T(t) == 0) return;
        for (int k = 0; k < top_k; ++k) weight_TK(t, k) = 0.0f;
      });
}

RouterOptions router_options(const ModelConfig& config) {
  return {.score_func = config.moe.score_func,
          .normalize = config.moe.norm_topk_prob,
          .route_scale = float(config.moe.route_scale),
          .round_to_bf16 = config.backend.gate_precision == Precision::bfloat16};
}

}  // namespace

template <class T>
void Gate::forward(const ExecSpace& exec, View2D<const T> x_TD, View1D<const std::uint8_t> skip_experts_T,
                   const Routing& routing, View1D<float> lora_hidden) const {
  const BackendConfig& backend = config_->backend;
  const OperationPlace place("router");
  gemm<T, float>(exec, GemmProvider::kokkos, x_TD, weight, /*workspace=*/{}, routing.logits_TE);
  low_rank_forward<T, float>(exec, lora, x_TD, /*offset_E1=*/{}, lora_hidden, routing.logits_TE);
  if (backend.fake_balanced_gate) {
    route_balanced(exec, /*first_slot=*/0, config_->architecture.num_local_experts, backend.fake_gate_noise, /*seed=*/0,
                   routing.expert_TK, routing.weight_TK);
  } else {
    route(exec, routing.logits_TE, selection_bias, router_options(*config_), routing.expert_TK, routing.weight_TK);
  }
  clear_weights(exec, skip_experts_T, routing.weight_TK);
}

template <class T>
void Gate::backward(const ExecSpace& exec, View2D<const T> x_TD, View1D<const std::uint8_t> skip_experts_T,
                    const Routing& routing, const LocalPlan& plan, const BackwardBuffers<T>& buffers,
                    View2D<T> dx_TD) const {
  const OperationPlace place("router");
  if (config_->backend.fake_balanced_gate) {  // its weights do not come from the logits
    Kokkos::deep_copy(exec, dx_TD, T(0.0f));
    return;
  }
  const RouterOptions options = router_options(*config_);
  route_backward(exec, routing.logits_TE, options, skip_experts_T, routing.expert_TK, buffers.dweight_TK,
                 buffers.dlogits_TE);
  if (buffers.auxiliary) {
    auxiliary_loss_backward(exec, routing.logits_TE, options.score_func, plan.offset_E1,
                            float(config_->moe.aux_loss_coeff) * buffers.auxiliary_share, *buffers.auxiliary,
                            buffers.dlogits_TE, auxiliary_loss);
  }
  if (grad.weight.size() > 0) {
    gemm_backward_weight<float, T>(exec, buffers.dlogits_TE, x_TD, /*offset_E1=*/{}, grad.weight);
  }
  gemm_backward_input<float, T>(exec, buffers.dlogits_TE, weight, /*offset_E1=*/{}, dx_TD);
  low_rank_backward_input<T, float>(exec, lora, buffers.dlogits_TE, /*offset_E1=*/{}, buffers.router_lora_dhidden,
                                    dx_TD);
  low_rank_backward_weights<T, float>(exec, lora, x_TD, buffers.dlogits_TE, /*offset_E1=*/{},
                                      buffers.router_lora_hidden, buffers.router_lora_dhidden);
}

std::vector<Parameter> Gate::parameters(const ParameterSchemas& schemas, const std::string& prefix) {
  std::vector<Parameter> list{
      {.schema = schemas.at(prefix + "gate"), .weight = &weight, .gradient = &grad.weight, .adapter = &lora}};
  if (const ParameterSchema* const bias = schemas.find(prefix + "selection_bias")) {
    list.push_back({.schema = *bias, .vector = &selection_bias});
  }
  return list;
}

#define M2_INSTANTIATE_GATE(T)                                                                                \
  template void Gate::forward(const ExecSpace&, View2D<const T>, View1D<const std::uint8_t>, const Routing&,  \
                              View1D<float>) const;                                                           \
  template void Gate::backward(const ExecSpace&, View2D<const T>, View1D<const std::uint8_t>, const Routing&, \
                               const LocalPlan&, const BackwardBuffers<T>&, View2D<T>) const
M2_INSTANTIATE_GATE(float);
M2_INSTANTIATE_GATE(Bf16);
#undef M2_INSTANTIATE_GATE

}  // namespace m2
