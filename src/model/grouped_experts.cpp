// SPDX-License-Identifier: Apache-2.0
#include "model/grouped_experts.hpp"

#include "kernels/grouped_gemm.hpp"
#include "kernels/swiglu.hpp"
#include "model/backend.hpp"
#include "model/initialize.hpp"

namespace m2 {

template <class T>
void GroupedExperts::forward(const ExecSpace& exec, const MoEActivations<T>& buffers,
                             View1D<std::byte> gemm_workspace) const {
  const auto multiply = [&](View2D<const T> in, const Weight& weight, View2D<T> out) {
    const GemmProvider provider = resolve_provider(backend_.experts, "experts", kDTypeOf<T>, weight.dtype());
    grouped_gemm<T, T>(exec, provider, in, weight, buffers.offset_E1, gemm_workspace, out);
  };
  const View1D<const float> row_weight_R = moe_.apply_router_weight_after_down ? View1D<float>() : buffers.weight_R;
  multiply(buffers.x_RD, gate_up, buffers.gate_up_R2F);
  swiglu<T>(exec, buffers.gate_up_R2F, row_weight_R, buffers.activated_RF);
  multiply(buffers.activated_RF, down, buffers.y_RD);
}

void GroupedExperts::init_weights(const ExecSpace& exec, std::uint64_t seed, const std::string& prefix) {
  for (const Parameter& parameter : parameters(prefix))
    fill_normal(exec, seed, parameter, {.mean = 0.0f, .deviation = 0.02f});
}

std::vector<Parameter> GroupedExperts::parameters(const std::string& prefix) {
  const std::int64_t experts = config_.num_local_experts, hidden = config_.hidden_size,
                     inner = config_.intermediate_size;
  return {{.name = prefix + "gate_up",
           .shape = {experts, 2 * inner, hidden},
           .weight = &gate_up,
           .may_be_fp8 = true,
           .num_row_parts = 2},
          {.name = prefix + "down", .shape = {experts, hidden, inner}, .weight = &down, .may_be_fp8 = true}};
}

template void GroupedExperts::forward<float>(const ExecSpace&, const MoEActivations<float>&, View1D<std::byte>) const;
template void GroupedExperts::forward<Bf16>(const ExecSpace&, const MoEActivations<Bf16>&, View1D<std::byte>) const;

}  // namespace m2
