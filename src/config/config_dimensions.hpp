// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "config/minimax_m2_config.hpp"

namespace m2 {

/// A size in config.json: a whole number from 1 to `max`. The limits are far above every published model, and keep all
/// products of sizes inside 64 bits, those of heads inside 32.
struct ConfigDimension {
  using Field = int MiniMaxM2Config::*;
  const char* key;
  Field field;
  int max;
};

inline constexpr std::array kConfigDimensions{
    ConfigDimension{"hidden_size", &MiniMaxM2Config::hidden_size, 1 << 17},
    ConfigDimension{"num_hidden_layers", &MiniMaxM2Config::num_hidden_layers, 1 << 10},
    ConfigDimension{"num_attention_heads", &MiniMaxM2Config::num_attention_heads, 1 << 10},
    ConfigDimension{"num_key_value_heads", &MiniMaxM2Config::num_key_value_heads, 1 << 10},
    ConfigDimension{"head_dim", &MiniMaxM2Config::head_dim, 1 << 10},
    ConfigDimension{"intermediate_size", &MiniMaxM2Config::intermediate_size, 1 << 17},
    ConfigDimension{"num_local_experts", &MiniMaxM2Config::num_local_experts, 1 << 13},
    ConfigDimension{"num_experts_per_tok", &MiniMaxM2Config::num_experts_per_tok, 1 << 13},
    ConfigDimension{"vocab_size", &MiniMaxM2Config::vocab_size, 1 << 24},
    ConfigDimension{"max_position_embeddings", &MiniMaxM2Config::max_position_embeddings, 1 << 26},
};

inline constexpr double kMinRmsNormEps = 1e-12, kMaxRmsNormEps = 1.0;
inline constexpr double kMinRopeTheta = 1.0, kMaxRopeTheta = 1e12;

}  // namespace m2
