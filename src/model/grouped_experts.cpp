// SPDX-License-Identifier: Apache-2.0
#include "model/grouped_experts.hpp"

#include <type_traits>

#include "core/operation_log.hpp"
#include "kernels/gemm/gemm_backward.hpp"
#include "kernels/gemm/grouped_gemm.hpp"
#include "kernels/gemm/grouped_swiglu.hpp"
#include "kernels/rowwise/swiglu.hpp"

namespace m2 {

void GroupedExperts::multiply_and_activate(const ExecSpace& exec, const ExpertRows<Bf16>& rows,
                                           View1D<const float> row_weight_R, bool keeps_gate_up) const {
  View2D<const Bf16> addend_R2F;
  if (lora.gate_up.exists()) {
    Kokkos::deep_copy(exec, rows.gate_up_R2F, Bf16(0.0f));
    low_rank_forward<Bf16, Bf16>(exec, lora.gate_up, rows.x_RD, rows.offset_L1, rows.lora_hidden, rows.gate_up_R2F);
    addend_R2F = rows.gate_up_R2F;
  }
  grouped_swiglu(exec, rows.x_RD, gate_up, rows.offset_L1, row_weight_R, rows.activated_RF,
                 keeps_gate_up ? rows.gate_up_R2F : View2D<Bf16>(), addend_R2F);
}

template <class T>
void GroupedExperts::forward(const ExecSpace& exec, const ExpertRows<T>& rows) const {
  const OperationPlace place("experts");
  const auto multiply = [&](View2D<const T> in, const Weight& weight, const LowRankAdapter& adapter, View2D<T> out) {
    grouped_gemm<T, T>(exec, config_->backend.experts, in, weight, rows.offset_L1, rows.gemm_workspace, out);
    low_rank_forward<T, T>(exec, adapter, in, rows.offset_L1, rows.lora_hidden, out);
  };
  const View1D<const float> row_weight_R =
      config_->moe.apply_router_weight_after_down ? View1D<float>() : rows.weight_R;
  if constexpr (std::is_same_v<T, Bf16>) {
    if (gate_up.layout() == WeightLayout::panels) {
      multiply_and_activate(exec, rows, row_weight_R, rows.keeps_gate_up);
      return multiply(rows.activated_RF, down, lora.down, rows.y_RD);
    }
  }
  multiply(rows.x_RD, gate_up, lora.gate_up, rows.gate_up_R2F);
  swiglu<T>(exec, rows.gate_up_R2F, row_weight_R, rows.activated_RF);
  multiply(rows.activated_RF, down, lora.down, rows.y_RD);
}

template <class T>
void GroupedExperts::recompute(const ExecSpace& exec, const ExpertRows<T>& rows) const {
  const OperationPlace place("experts");
  if constexpr (std::is_same_v<T, Bf16>) {
    if (gate_up.layout() == WeightLayout::panels && lora.gate_up.exists()) {
      return multiply_and_activate(exec, rows, /*row_weight_R=*/{}, /*keeps_gate_up=*/true);
    }
  }
  grouped_gemm<T, T>(exec, config_->backend.experts, rows.x_RD, gate_up, rows.offset_L1, rows.gemm_workspace,
                     rows.gate_up_R2F);
  low_rank_forward<T, T>(exec, lora.gate_up, rows.x_RD, rows.offset_L1, rows.lora_hidden, rows.gate_up_R2F);
}

template <class T>
void GroupedExperts::backward(const ExecSpace& exec, const ExpertRows<T>& rows, View1D<float> dweight_R,
                              View1D<T> lora_dhidden) const {
  const OperationPlace place("experts");
  const View2D<T> dactivated_RF = rows.activated_RF, dgate_up_R2F = rows.gate_up_R2F, dy_RD = rows.y_RD;
  const auto input_gradient = [&](View2D<const T> dy, const Weight& weight, const LowRankAdapter& adapter,
                                  View2D<T> dx) {
    gemm_backward_input<T, T>(exec, dy, weight, rows.offset_L1, dx);
    low_rank_backward_input<T, T>(exec, adapter, dy, rows.offset_L1, lora_dhidden, dx);
  };
  const auto weight_gradient = [&](View2D<const T> dy, View2D<const T> in, const LowRankAdapter& adapter,
                                   const View3D<float>& gradient) {
    if (gradient.size() > 0) gemm_backward_weight<T, T>(exec, dy, in, rows.offset_L1, gradient);
    low_rank_backward_weights<T, T>(exec, adapter, in, dy, rows.offset_L1, rows.lora_hidden, lora_dhidden);
  };
  input_gradient(dy_RD, down, lora.down, dactivated_RF);
  swiglu_backward<T>(exec, rows.gate_up_R2F, rows.weight_R, dactivated_RF, dgate_up_R2F, rows.activated_RF, dweight_R);
  weight_gradient(dy_RD, rows.activated_RF, lora.down, grad.down);
  input_gradient(dgate_up_R2F, gate_up, lora.gate_up, rows.y_RD);
  weight_gradient(dgate_up_R2F, rows.x_RD, lora.gate_up, grad.gate_up);
}

std::vector<Parameter> GroupedExperts::parameters(const ParameterSchemas& schemas, const std::string& prefix) {
  return {{.schema = schemas.at(prefix + "gate_up"),
           .weight = &gate_up,
           .gradient = &grad.gate_up,
           .adapter = &lora.gate_up,
           .experts = experts_},
          {.schema = schemas.at(prefix + "down"),
           .weight = &down,
           .gradient = &grad.down,
           .adapter = &lora.down,
           .experts = experts_}};
}

#define M2_INSTANTIATE_GROUPED_EXPERTS(T)                                                \
  template void GroupedExperts::forward(const ExecSpace&, const ExpertRows<T>&) const;   \
  template void GroupedExperts::recompute(const ExecSpace&, const ExpertRows<T>&) const; \
  template void GroupedExperts::backward(const ExecSpace&, const ExpertRows<T>&, View1D<float>, View1D<T>) const
M2_INSTANTIATE_GROUPED_EXPERTS(float);
M2_INSTANTIATE_GROUPED_EXPERTS(Bf16);
#undef M2_INSTANTIATE_GROUPED_EXPERTS

}  // namespace m2
