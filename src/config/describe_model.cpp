// SPDX-License-Identifier: Apache-2.0
#include "config/describe_model.hpp"

#include <fmt/format.h>

#include "core/plural.hpp"

namespace m2 {

std::string describe_model(const MiniMaxM2Config& config) {
  return fmt::format(
      "MiniMax-M2: {} layers of width {}, softmax attention in each ({} query and {} key/value heads of {}, the first "
      "{} rotate), {} experts of width {}, {} a token; vocabulary {}, {} positions; {} parameters, {} active",
      config.num_hidden_layers, config.hidden_size, config.num_attention_heads, config.num_key_value_heads,
      config.head_dim, config.rotary_dim, config.num_local_experts, config.intermediate_size,
      config.num_experts_per_tok, config.vocab_size, config.max_position_embeddings,
      count_text(config.num_parameters()), count_text(config.num_active_parameters()));
}

}  // namespace m2
