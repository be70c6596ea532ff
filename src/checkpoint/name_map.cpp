// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/name_map.hpp"

#include <fmt/format.h>

#include <functional>
#include <numeric>
#include <utility>

#include "core/error.hpp"
#include "core/fp8.hpp"

namespace m2 {
namespace {

using Shape = std::vector<std::int64_t>;

std::int64_t product(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

NativeTensor single(std::string native_name, TensorKind kind, const Shape& shape, std::string part) {
  return {.name = std::move(native_name),
          .kind = kind,
          .shape = shape,
          .may_be_fp8 = kind == TensorKind::attention && shape.size() == 2,
          .part_shape = shape,
          .parts = {std::move(part)}};
}

void append_attention(const MiniMaxM2Config& config, const std::string& native, const std::string& published,
                      std::vector<NativeTensor>& out) {
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t query_width = std::int64_t{config.num_attention_heads} * config.head_dim;
  const std::int64_t key_width = std::int64_t{config.num_key_value_heads} * config.head_dim;
  const std::pair<const char*, Shape> matrices[] = {
      {"q_proj", {query_width, hidden}}, {"k_proj", {key_width, hidden}}, {"v_proj", {key_width, hidden}},
      {"o_proj", {hidden, query_width}}, {"q_norm", {query_width}},       {"k_norm", {key_width}}};
  for (const auto& [matrix, shape] : matrices) {
    const TensorKind kind = shape.size() == 2 ? TensorKind::attention : TensorKind::norm;
    out.push_back(single(fmt::format("{}/attention/{}", native, matrix), kind, shape,
                         fmt::format("{}.self_attn.{}.weight", published, matrix)));
  }
}

// A stack of experts, each made of the `matrices` of the published checkpoint on top of one another.
NativeTensor expert_stack(const std::string& native_name, const std::string& published, std::int64_t num_experts,
                          const Shape& part_shape, const std::vector<std::string>& matrices) {
  NativeTensor stack{.name = native_name,
                     .kind = TensorKind::experts,
                     .shape = {num_experts, part_shape[0] * std::int64_t(matrices.size()), part_shape[1]},
                     .num_slabs = num_experts,
                     .may_be_fp8 = true,
                     .part_shape = part_shape,
                     .parts = {}};
  for (std::int64_t e = 0; e < num_experts; ++e) {
    for (const std::string& matrix : matrices) {
      stack.parts.push_back(fmt::format("{}.experts.{}.{}.weight", published, e, matrix));
    }
  }
  return stack;
}

void append_moe(const MiniMaxM2Config& config, const std::string& native, const std::string& layer,
                std::vector<NativeTensor>& out) {
  const std::int64_t hidden = config.hidden_size, width = config.intermediate_size, experts = config.num_local_experts;
  const std::string published = layer + ".block_sparse_moe";
  out.push_back(single(native + "/moe/gate", TensorKind::router, {experts, hidden}, published + ".gate.weight"));
  if (config.use_routing_bias) {
    out.push_back(
        single(native + "/moe/selection_bias", TensorKind::router, {experts}, published + ".e_score_correction_bias"));
  }
  out.push_back(expert_stack(native + "/moe/experts/gate_up", published, experts, {width, hidden}, {"w1", "w3"}));
  out.push_back(expert_stack(native + "/moe/experts/down", published, experts, {hidden, width}, {"w2"}));
}

}  // namespace

std::string_view name(TensorKind kind) {
  switch (kind) {
    case TensorKind::embedding:
      return "embedding";
    case TensorKind::norm:
      return "norm";
    case TensorKind::attention:
      return "attention";
    case TensorKind::router:
      return "router";
    case TensorKind::experts:
      return "experts";
    case TensorKind::head:
      return "head";
  }
  return "";
}

std::int64_t NativeTensor::num_values() const { return product(shape); }

std::int64_t NativeTensor::num_part_values() const { return product(part_shape); }

std::vector<NativeTensor> native_tensors(const MiniMaxM2Config& config) {
  const std::int64_t hidden = config.hidden_size, vocabulary = config.vocab_size;
  std::vector<NativeTensor> out;
  out.push_back(single("embed_tokens", TensorKind::embedding, {vocabulary, hidden}, "model.embed_tokens.weight"));
  for (int i = 0; i < config.num_hidden_layers; ++i) {
    const std::string native = fmt::format("layers/{}", i);
    const std::string published = fmt::format("model.layers.{}", i);
    out.push_back(single(native + "/input_norm", TensorKind::norm, {hidden}, published + ".input_layernorm.weight"));
    append_attention(config, native, published, out);
    out.push_back(single(native + "/post_attention_norm", TensorKind::norm, {hidden},
                         published + ".post_attention_layernorm.weight"));
    append_moe(config, native, published, out);
  }
  out.push_back(single("norm", TensorKind::norm, {hidden}, "model.norm.weight"));
  out.push_back(single("lm_head", TensorKind::head, {vocabulary, hidden}, "lm_head.weight"));
  return out;
}

NativeTensor scales_of(const NativeTensor& weight) {
  M2_REQUIRE(weight.may_be_fp8, "'{}' cannot be stored as FP8 blocks", weight.name);
  const auto num_blocks = [](std::int64_t extent) { return (extent + kFp8Block - 1) / kFp8Block; };
  NativeTensor scales = weight;
  scales.name += "_scale_inv";
  scales.may_be_fp8 = false;
  scales.is_scale = true;
  scales.part_shape = {num_blocks(weight.part_shape[0]), num_blocks(weight.part_shape[1])};
  const std::int64_t row_parts = std::int64_t(weight.parts.size()) / weight.num_slabs;
  const std::int64_t rows = row_parts * scales.part_shape[0];
  scales.shape = weight.shape.size() == 3 ? Shape{weight.num_slabs, rows, scales.part_shape[1]} : scales.part_shape;
  for (std::string& part : scales.parts) part += "_scale_inv";
  return scales;
}

QuantizationConfig released_quantization() {
  return {.weight_block_size = {kFp8Block, kFp8Block},
          .modules_to_not_convert = {"gate", "e_score_correction_bias", "lm_head"}};
}

}  // namespace m2
