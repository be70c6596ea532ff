// SPDX-License-Identifier: Apache-2.0
#include "model/grouped_experts.hpp"

#include <type_traits>

#include "core/operation_log.hpp"
#include "kernels/gemm/gemm_backward.hpp"
#include "kernels/gemm/grouped_gemm.hpp"
#include "kernels/gemm/grouped_swiglu.hpp"
#include "kernels/rowwise/swiglu.hpp"

namespace m2 {

template <class T>
void GroupedExperts::forward(const ExecSpace& exec, const ExpertRows<T>& rows) const {
  const OperationPlace place("experts");
  const auto multiply = [&](View2D<const T> in, const Weight& weight, View2D<T> out) {
    grouped_gemm<T, T>(exec, config_->backend.experts, in, weight, rows.offset_L1, rows.gemm_workspace, out);
  };
  const View1D<const float> row_weight_R =
      config_->moe.apply_router_weight_after_down ? View1D<float>() : rows.weight_R;
  if constexpr (std::is_same_v<T, Bf16>) {
    if (gate_up.layout() == WeightLayout::panels) {
      grouped_swiglu(exec, rows.x_RD, gate_up, rows.offset_L1, row_weight_R, rows.activated_RF,
                     rows.keeps_gate_up ? rows.gate_up_R2F : View2D<Bf16>());
      return multiply(rows.activated_RF, down, rows.y_RD);
    }
  }
  multiply(rows.x_RD, gate_up, rows.gate_up_R2F);
  swiglu<T>(exec, rows.gate_up_R2F, row_weight_R, rows.activated_RF);
  multiply(rows.activated_RF, down, rows.y_RD);
}

template <class T>
void GroupedExperts::recompute(const ExecSpace& exec, const ExpertRows<T>& rows) const {
  const OperationPlace place("experts");
  grouped_gemm<T, T>(exec, config_->backend.experts, rows.x_RD, gate_up, rows.offset_L1, rows.gemm_workspace,
                     rows.gate_up_R2F);
}

template <class T>
void GroupedExperts::backward(const ExecSpace& exec, const ExpertRows<T>& rows, View1D<float> dweight_R) const {
  const OperationPlace place("experts");
  const View2D<T> dactivated_RF = rows.activated_RF, dgate_up_R2F = rows.gate_up_R2F, dy_RD = rows.y_RD;
  gemm_backward_input<T, T>(exec, dy_RD, down, rows.offset_L1, dactivated_RF);
  swiglu_backward<T>(exec, rows.gate_up_R2F, rows.weight_R, dactivated_RF, dgate_up_R2F, rows.activated_RF, dweight_R);
  if (grad.down.size() > 0) {
    gemm_backward_weight<T, T>(exec, dy_RD, rows.activated_RF, rows.offset_L1, grad.down);
  }
  if (grad.gate_up.size() > 0) {
    gemm_backward_weight<T, T>(exec, dgate_up_R2F, rows.x_RD, rows.offset_L1, grad.gate_up);
  }
  gemm_backward_input<T, T>(exec, dgate_up_R2F, gate_up, rows.offset_L1, rows.y_RD);
}

std::vector<Parameter> GroupedExperts::parameters(const ParameterSchemas& schemas, const std::string& prefix) {
  return {
      {.schema = schemas.at(prefix + "gate_up"), .weight = &gate_up, .gradient = &grad.gate_up, .experts = experts_},
      {.schema = schemas.at(prefix + "down"), .weight = &down, .gradient = &grad.down, .experts = experts_}};
}

#define M2_INSTANTIATE_GROUPED_EXPERTS(T)                                                \
  template void GroupedExperts::forward(const ExecSpace&, const ExpertRows<T>&) const;   \
  template void GroupedExperts::recompute(const ExecSpace&, const ExpertRows<T>&) const; \
  template void GroupedExperts::backward(const ExecSpace&, const ExpertRows<T>&, View1D<float>) const
M2_INSTANTIATE_GROUPED_EXPERTS(float);
M2_INSTANTIATE_GROUPED_EXPERTS(Bf16);
#undef M2_INSTANTIATE_GROUPED_EXPERTS

}  // namespace m2
