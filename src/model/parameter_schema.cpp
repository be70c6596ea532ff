// SPDX-License-Identifier: Apache-2.0
#include "model/parameter_schema.hpp"

#include <fmt/format.h>

#include <functional>
#include <numeric>
#include <utility>

#include "core/error.hpp"
#include "kernels/weights/weight.hpp"

namespace m2 {
namespace {

using List = std::vector<ParameterSchema>;

void append_attention(const MiniMaxM2Config& config, const std::string& prefix, List& out) {
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t query_width = std::int64_t(config.num_attention_heads) * config.head_dim;
  const std::int64_t key_width = std::int64_t(config.num_key_value_heads) * config.head_dim;
  out.push_back({prefix + "q_proj", ParameterKind::attention, {query_width, hidden}});
  out.push_back({prefix + "k_proj", ParameterKind::attention, {key_width, hidden}});
  out.push_back({prefix + "v_proj", ParameterKind::attention, {key_width, hidden}});
  out.push_back({prefix + "o_proj", ParameterKind::attention, {hidden, query_width}});
  out.push_back({prefix + "q_norm", ParameterKind::norm, {query_width}});
  out.push_back({prefix + "k_norm", ParameterKind::norm, {key_width}});
}

void append_moe(const MiniMaxM2Config& config, const std::string& prefix, List& out) {
  const std::int64_t hidden = config.hidden_size, inner = config.intermediate_size, experts = config.num_local_experts;
  out.push_back({prefix + "gate", ParameterKind::router, {experts, hidden}});
  if (config.use_routing_bias) out.push_back({prefix + "selection_bias", ParameterKind::router, {experts}});
  out.push_back({prefix + "experts/gate_up", ParameterKind::experts, {experts, 2 * inner, hidden}, 2});
  out.push_back({prefix + "experts/down", ParameterKind::experts, {experts, hidden, inner}});
}

List schemas_of(const MiniMaxM2Config& config) {
  const std::int64_t hidden = config.hidden_size, vocabulary = config.vocab_size;
  List out;
  out.push_back({"embed_tokens", ParameterKind::embedding, {vocabulary, hidden}});
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::string prefix = fmt::format("layers/{}/", layer);
    out.push_back({prefix + "input_norm", ParameterKind::norm, {hidden}});
    append_attention(config, prefix + "attention/", out);
    out.push_back({prefix + "post_attention_norm", ParameterKind::norm, {hidden}});
    append_moe(config, prefix + "moe/", out);
  }
  out.push_back({"norm", ParameterKind::norm, {hidden}});
  out.push_back({"lm_head", ParameterKind::head, {vocabulary, hidden}});
  return out;
}

}  // namespace

ParameterSchema lora_a_schema(const ParameterSchema& base, int rank) {
  ParameterSchema schema{base.name + "/lora_A", ParameterKind::adapter, base.shape};
  schema.shape.end()[-2] = rank;
  return schema;
}

ParameterSchema lora_b_schema(const ParameterSchema& base, int rank) {
  ParameterSchema schema{base.name + "/lora_B", ParameterKind::adapter, base.shape};
  schema.shape.back() = std::exchange(schema.shape.end()[-2], rank);
  return schema;
}

std::int64_t ParameterSchema::num_values() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::vector<std::int64_t> scale_shape(std::vector<std::int64_t> shape, int num_row_parts) {
  std::int64_t& num_rows = shape.end()[-2];
  std::int64_t& num_columns = shape.end()[-1];
  num_rows = Weight::num_scale_rows(num_rows, num_row_parts);
  num_columns = Weight::num_scale_columns(num_columns);
  return shape;
}

DType held_dtype(const ParameterSchema& schema, DType dtype, DType compute_dtype) {
  if (schema.stays_float32()) return DType::float32;
  if (dtype == DType::float8_e4m3fn) return schema.may_be_fp8() ? dtype : compute_dtype;
  return compute_dtype == DType::bfloat16 ? DType::bfloat16 : dtype;
}

ParameterSchemas::ParameterSchemas(const MiniMaxM2Config& config) : list_(schemas_of(config)) {
  for (std::size_t i = 0; i < list_.size(); ++i) index_.emplace(list_[i].name, i);
}

const ParameterSchema* ParameterSchemas::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &list_[found->second];
}

const ParameterSchema& ParameterSchemas::at(const std::string& name) const {
  const ParameterSchema* const schema = find(name);
  M2_REQUIRE(schema != nullptr, "the model has no parameter '{}'", name);
  return *schema;
}

}  // namespace m2
