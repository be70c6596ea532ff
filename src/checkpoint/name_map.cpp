// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/name_map.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/error.hpp"
#include "core/fp8.hpp"

namespace m2 {
namespace {

// Published names have the layer's number in place of the first {}, and the expert's of the second.
struct PublishedName {
  std::string_view name;  // of a layer's parameter without "layers/<i>/"
  std::array<std::string_view, 2> row_parts;
};

constexpr PublishedName kOutsideLayers[] = {
    {"embed_tokens", {"model.embed_tokens.weight"}}, {"norm", {"model.norm.weight"}}, {"lm_head", {"lm_head.weight"}}};

constexpr PublishedName kInLayers[] = {
    {"input_norm", {"model.layers.{}.input_layernorm.weight"}},
    {"attention/q_proj", {"model.layers.{}.self_attn.q_proj.weight"}},
    {"attention/k_proj", {"model.layers.{}.self_attn.k_proj.weight"}},
    {"attention/v_proj", {"model.layers.{}.self_attn.v_proj.weight"}},
    {"attention/o_proj", {"model.layers.{}.self_attn.o_proj.weight"}},
    {"attention/q_norm", {"model.layers.{}.self_attn.q_norm.weight"}},
    {"attention/k_norm", {"model.layers.{}.self_attn.k_norm.weight"}},
    {"post_attention_norm", {"model.layers.{}.post_attention_layernorm.weight"}},
    {"moe/gate", {"model.layers.{}.block_sparse_moe.gate.weight"}},
    {"moe/selection_bias", {"model.layers.{}.block_sparse_moe.e_score_correction_bias"}},
    {"moe/experts/gate_up",
     {"model.layers.{}.block_sparse_moe.experts.{}.w1.weight",
      "model.layers.{}.block_sparse_moe.experts.{}.w3.weight"}},
    {"moe/experts/down", {"model.layers.{}.block_sparse_moe.experts.{}.w2.weight"}}};

// "layers/3/attention/q_proj": layer 3, name "attention/q_proj"; no layer outside them.
struct SplitName {
  std::string_view layer, name;
};

SplitName split(std::string_view name) {
  constexpr std::string_view kLayers = "layers/";
  if (!name.starts_with(kLayers)) return {{}, name};
  name.remove_prefix(kLayers.size());
  const std::size_t slash = std::min(name.find('/'), name.size());
  return {name.substr(0, slash), name.substr(std::min(slash + 1, name.size()))};
}

}  // namespace

std::vector<std::string> published_names(const ParameterSchema& schema) {
  const auto [layer, name] = split(schema.name);
  const std::span<const PublishedName> table =
      layer.empty() ? std::span<const PublishedName>(kOutsideLayers) : std::span<const PublishedName>(kInLayers);
  const auto found = std::ranges::find(table, name, &PublishedName::name);
  M2_REQUIRE(found != table.end(), "'{}' has no name in published checkpoints", schema.name);
  const std::int64_t num_matrices = schema.is_expert_stack() ? schema.shape[0] : 1;
  std::vector<std::string> names;
  for (std::int64_t expert = 0; expert < num_matrices; ++expert) {
    for (int part = 0; part < schema.num_row_parts; ++part) {
      names.push_back(fmt::format(fmt::runtime(found->row_parts[std::size_t(part)]), layer, expert));
    }
  }
  return names;
}

QuantizationConfig released_quantization() {
  return {.weight_block_size = {kFp8Block, kFp8Block},
          .modules_to_not_convert = {"gate", "e_score_correction_bias", "lm_head"}};
}

}  // namespace m2
