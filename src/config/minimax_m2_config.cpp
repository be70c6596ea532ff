// SPDX-License-Identifier: Apache-2.0
#include "config/minimax_m2_config.hpp"

#include <fmt/ranges.h>

#include "config/config_dimensions.hpp"
#include "config/json_object.hpp"

namespace m2 {
namespace {

template <class T>
void require_range(const std::string& source, const char* key, T value, T min, T max, const char* kind) {
  if (value >= min && value <= max) return;  // false for NaN
  refuse_key(source, key, fmt::format("{}", value), fmt::format("a {} from {} to {}", kind, min, max));
}

void require_at_most(const std::string& source, const char* key, int value, const char* limit_key, int limit) {
  if (value <= limit) return;
  refuse_key(source, key, fmt::format("{}", value), fmt::format("at most {} ({})", limit_key, limit));
}

// Values of one layer's tensors, with `num_experts` of its experts.
std::int64_t layer_parameters(const MiniMaxM2Config& config, int num_experts) {
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t q_width = std::int64_t(config.num_attention_heads) * config.head_dim;
  const std::int64_t kv_width = std::int64_t(config.num_key_value_heads) * config.head_dim;
  const std::int64_t attention = 2 * hidden * q_width + 2 * hidden * kv_width;  // q and o; k and v
  const std::int64_t norms = 2 * hidden + q_width + kv_width;
  const std::int64_t gate = config.num_local_experts * (hidden + (config.use_routing_bias ? 1 : 0));
  const std::int64_t expert = 3 * hidden * config.intermediate_size;
  return attention + norms + gate + num_experts * expert;
}

}  // namespace

void MiniMaxM2Config::validate(const std::string& source) const {
  for (const ConfigDimension& dimension : kConfigDimensions) {
    require_range(source, dimension.key, this->*dimension.field, 1, dimension.max, "whole number");
  }
  require_range(source, "rms_norm_eps", rms_norm_eps, kMinRmsNormEps, kMaxRmsNormEps, "number");
  require_range(source, "rope_theta", rope_theta, kMinRopeTheta, kMaxRopeTheta, "number");
  if (num_attention_heads % num_key_value_heads != 0) {
    refuse_key(source, "num_key_value_heads", fmt::format("{}", num_key_value_heads),
               fmt::format("a divisor of num_attention_heads ({})", num_attention_heads));
  }
  require_at_most(source, "num_experts_per_tok", num_experts_per_tok, "num_local_experts", num_local_experts);
  if (rotary_dim < 2 || rotary_dim % 2 != 0 || rotary_dim > head_dim) {
    refuse_key(source, "rotary_dim", fmt::format("{}", rotary_dim),
               fmt::format("an even number from 2 to head_dim ({})", head_dim));
  }
  if (dtype != DType::float32 && dtype != DType::bfloat16) {
    refuse_key(source, "dtype", fmt::format("\"{}\"", name(dtype)), "\"bfloat16\" or \"float32\"");
  }
  if (quantization && quantization->weight_block_size != QuantizationConfig().weight_block_size) {
    refuse_key(source, "quantization_config.weight_block_size",
               fmt::format("[{}]", fmt::join(quantization->weight_block_size, ",")), "[128,128]");
  }
  if (bos_token_id) require_range(source, "bos_token_id", *bos_token_id, 0, vocab_size - 1, "whole number");
  for (const int id : eos_token_id) require_range(source, "eos_token_id", id, 0, vocab_size - 1, "whole number");
}

std::int64_t MiniMaxM2Config::num_parameters() const {
  const std::int64_t embed_tokens = std::int64_t(vocab_size) * hidden_size, lm_head = embed_tokens, norm = hidden_size;
  return embed_tokens + num_hidden_layers * layer_parameters(*this, num_local_experts) + norm + lm_head;
}

std::int64_t MiniMaxM2Config::num_active_parameters() const {
  const std::int64_t lm_head = std::int64_t(vocab_size) * hidden_size, norm = hidden_size;
  return num_hidden_layers * layer_parameters(*this, num_experts_per_tok) + norm + lm_head;
}

}  // namespace m2
