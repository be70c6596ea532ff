// SPDX-License-Identifier: Apache-2.0
// The life of a model's weights: allocated, filled with random numbers, replaced, laid out for the processor.
#include <string_view>

#include "model/initialize.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"

namespace m2 {
namespace {

void require_embedding(const char* name, const Weight& weight, const ParameterSchema& schema) {
  M2_REQUIRE(
      weight.num_matrices() == 1 && weight.num_rows() == schema.shape[0] && weight.num_columns() == schema.shape[1],
      "{}: found {} x {} x {}, expected 1 x {} x {}", name, weight.num_matrices(), weight.num_rows(),
      weight.num_columns(), schema.shape[0], schema.shape[1]);
  M2_REQUIRE(weight.dtype() != DType::float8_e4m3fn, "{}: found float8_e4m3fn, expected float32 or bfloat16", name);
}

}  // namespace

void MiniMaxM2ForCausalLM::set_input_embeddings(const Weight& weight) {
  require_embedding("set_input_embeddings", weight, ParameterSchemas(config()).at("embed_tokens"));
  model.embed_tokens = weight;
}

void MiniMaxM2ForCausalLM::set_output_embeddings(const Weight& weight) {
  require_embedding("set_output_embeddings", weight, ParameterSchemas(config()).at("lm_head"));
  lm_head = weight;
}

void MiniMaxM2ForCausalLM::initialize_weights(DType dtype, std::uint64_t seed) {
  M2_REQUIRE(dtype == DType::float32 || dtype == DType::bfloat16 || dtype == DType::float8_e4m3fn,
             "initialize_weights: dtype {} is not float32, bfloat16 or float8_e4m3fn", name(dtype));
  for (Parameter& parameter : parameters()) parameter.allocate(exec_, held_dtype(parameter.schema, dtype, dtype_));
  init_weights(seed);
  interleave_weights();
}

void MiniMaxM2ForCausalLM::init_weights(std::uint64_t seed) {
  deinterleave_weights();
  for (const Parameter& parameter : parameters()) initialize_parameter(exec_, seed, parameter);
}

void MiniMaxM2ForCausalLM::require_providers() const {
  const auto require = [&](GemmProvider provider, const char* key, const Weight& weight) {
    const std::string_view refusal = gemm_refusal(provider, dtype_, weight.dtype());
    M2_REQUIRE(refusal.empty(), "backend.{}: {} does not multiply {} activations with {} weights: {}", key,
               name(provider), name(dtype_), name(weight.dtype()), refusal);
  };
  for (const Block& block : model.layers) {
    const MiniMaxM2Attention& attention = block.self_attn;
    for (const Weight* weight : {&attention.q_proj, &attention.k_proj, &attention.v_proj, &attention.o_proj}) {
      require(backend().linear, "linear", *weight);
    }
    for (const Weight* weight : {&block.mlp.experts.gate_up, &block.mlp.experts.down}) {
      require(backend().experts, "experts", *weight);
    }
  }
  require(backend().linear, "linear", lm_head);
}

void MiniMaxM2ForCausalLM::interleave_weights() {
  for (const Parameter& parameter : parameters()) {
    if (parameter.weight) parameter.weight->set_layout(exec_, parameter.layout(parameter.weight->dtype()));
  }
}

void MiniMaxM2ForCausalLM::deinterleave_weights() {
  for (const Parameter& parameter : parameters()) {
    if (parameter.weight) parameter.weight->set_layout(exec_, WeightLayout::rows);
  }
}

std::vector<Parameter> MiniMaxM2ForCausalLM::parameters() {
  std::vector<Parameter> list = base_parameters();
  append(list, adapter_parameters());
  return list;
}

std::vector<Parameter> MiniMaxM2ForCausalLM::base_parameters() {
  const ParameterSchemas schemas(config());
  std::vector<Parameter> list = model.parameters(schemas);
  list.push_back(
      {.schema = schemas.at("lm_head"), .weight = &lm_head, .gradient = &lm_head_grad, .adapter = &lm_head_lora});
  for (Parameter& parameter : list) {
    const ParameterKind kind = parameter.schema.kind;
    const GemmProvider provider = kind == ParameterKind::experts ? backend().experts : backend().linear;
    parameter.may_be_panels = parameter.weight && kind != ParameterKind::embedding && dtype_ == DType::bfloat16 &&
                              provider == GemmProvider::kokkos;
  }
  return list;
}

}  // namespace m2
