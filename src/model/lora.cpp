// SPDX-License-Identifier: Apache-2.0
// The adapters of a model.
#include <algorithm>

#include "model/initialize.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"

namespace m2 {

std::vector<Parameter> MiniMaxM2ForCausalLM::adapter_parameters() {
  std::vector<Parameter> list;
  for (const Parameter& base : base_parameters()) {
    LowRankAdapter* const adapter = base.adapter;
    if (adapter == nullptr || !adapter->exists()) continue;
    list.push_back({.schema = lora_a_schema(base.schema, adapter->rank()),
                    .weight = &adapter->a,
                    .gradient = &adapter->grad.a,
                    .experts = base.experts});
    list.push_back({.schema = lora_b_schema(base.schema, adapter->rank()),
                    .weight = &adapter->b,
                    .gradient = &adapter->grad.b,
                    .experts = base.experts});
  }
  return list;
}

void MiniMaxM2ForCausalLM::add_adapters(std::span<const AdapterSpec> adapters) {
  const std::vector<Parameter> bases = base_parameters();
  for (const auto& [name, rank, alpha] : adapters) {
    const auto base = std::ranges::find(bases, name, &Parameter::name);
    M2_REQUIRE(base != bases.end(), "adapter: the model has no parameter '{}'", name);
    M2_REQUIRE(base->adapter != nullptr,
               "adapter: '{}' takes none; attention projections, experts, gates and lm_head do", name);
    M2_REQUIRE(!base->adapter->exists(), "adapter: '{}' has one already", name);
    M2_REQUIRE(rank >= 1, "adapter of '{}': found rank {}, expected at least 1", name, rank);
    const std::vector<std::int64_t> shape = base->local_shape();
    const int num_matrices = base->schema.is_expert_stack() ? int(shape[0]) : 1;
    base->adapter->a = Weight::without_memory(DType::float32, num_matrices, rank, int(shape.end()[-1]));
    base->adapter->b = Weight::without_memory(DType::float32, num_matrices, rank, int(shape.end()[-2]));
    base->adapter->alpha = alpha;
    config_->lora_rank = std::max(config_->lora_rank, rank);
  }
}

std::vector<AdapterSpec> MiniMaxM2ForCausalLM::adapters() {
  std::vector<AdapterSpec> list;
  for (const Parameter& base : base_parameters()) {
    if (base.adapter == nullptr || !base.adapter->exists()) continue;
    list.push_back({.base = base.name(), .rank = base.adapter->rank(), .alpha = base.adapter->alpha});
  }
  return list;
}

void MiniMaxM2ForCausalLM::initialize_adapters(std::uint64_t seed) {
  for (Parameter& parameter : adapter_parameters()) {
    parameter.allocate(exec_, DType::float32);
    initialize_parameter(exec_, seed, parameter);
  }
}

}  // namespace m2
