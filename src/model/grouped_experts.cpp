// SPDX-License-Identifier: Apache-2.0
#include "model/grouped_experts.hpp"

#include <type_traits>

#include "core/operation_log.hpp"
#include "kernels/gemm/grouped_gemm.hpp"
#include "kernels/gemm/grouped_swiglu.hpp"
#include "kernels/rowwise/swiglu.hpp"
#include "model/initialize.hpp"

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

void GroupedExperts::init_weights(const ExecSpace& exec, std::uint64_t seed, const std::string& prefix) {
  for (const Parameter& parameter : parameters(prefix)) {
    for (int i = 0; i < std::ssize(experts_); ++i) {
      fill_normal_expert(exec, seed, parameter, i, {.mean = 0.0f, .deviation = 0.02f});
    }
  }
}

std::vector<Parameter> GroupedExperts::parameters(const std::string& prefix) {
  const MiniMaxM2Config& config = config_->architecture;
  const std::int64_t local = std::ssize(experts_), hidden = config.hidden_size, inner = config.intermediate_size;
  return {{.name = prefix + "gate_up",
           .shape = {local, 2 * inner, hidden},
           .weight = &gate_up,
           .may_be_fp8 = true,
           .num_row_parts = 2,
           .experts = experts_,
           .num_experts = config.num_local_experts},
          {.name = prefix + "down",
           .shape = {local, hidden, inner},
           .weight = &down,
           .may_be_fp8 = true,
           .experts = experts_,
           .num_experts = config.num_local_experts}};
}

template void GroupedExperts::forward<float>(const ExecSpace&, const ExpertRows<float>&) const;
template void GroupedExperts::forward<Bf16>(const ExecSpace&, const ExpertRows<Bf16>&) const;

}  // namespace m2
