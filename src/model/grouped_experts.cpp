// SPDX-License-Identifier: Apache-2.0
#include "model/grouped_experts.hpp"

#include <type_traits>

#include "core/operation_log.hpp"
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
      grouped_swiglu(exec, rows.x_RD, gate_up, rows.offset_L1, row_weight_R, rows.activated_RF);
      return multiply(rows.activated_RF, down, rows.y_RD);
    }
  }
  multiply(rows.x_RD, gate_up, rows.gate_up_R2F);
  swiglu<T>(exec, rows.gate_up_R2F, row_weight_R, rows.activated_RF);
  multiply(rows.activated_RF, down, rows.y_RD);
}

std::vector<Parameter> GroupedExperts::parameters(const ParameterSchemas& schemas, const std::string& prefix) {
  return {{.schema = schemas.at(prefix + "gate_up"), .weight = &gate_up, .experts = experts_},
          {.schema = schemas.at(prefix + "down"), .weight = &down, .experts = experts_}};
}

template void GroupedExperts::forward<float>(const ExecSpace&, const ExpertRows<float>&) const;
template void GroupedExperts::forward<Bf16>(const ExecSpace&, const ExpertRows<Bf16>&) const;

}  // namespace m2
