// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/choices.hpp"
#include "core/dtype.hpp"

namespace m2 {

/// Weights stored as float8_e4m3fn, one float32 scale for each block of `weight_block_size` (rows, columns).
struct QuantizationConfig {
  std::array<int, 2> weight_block_size{128, 128};
  std::vector<std::string> modules_to_not_convert;

  bool operator==(const QuantizationConfig&) const = default;
};

/// The architecture, with the names of config.json; the defaults are MiniMax-M2's.
struct MiniMaxM2Config {
  int hidden_size = 3072;
  int num_hidden_layers = 62;
  int num_attention_heads = 48;
  int num_key_value_heads = 8;
  int head_dim = 128;
  int intermediate_size = 1536;  ///< width of one expert; there is no dense MLP
  int num_local_experts = 256;
  int num_experts_per_tok = 8;
  int vocab_size = 200064;
  int max_position_embeddings = 196608;
  double rms_norm_eps = 1e-6;
  double rope_theta = 5e6;
  int rotary_dim = 64;  ///< of each head's head_dim values, the first rotary_dim turn with the position
  ScoringFunc scoring_func = ScoringFunc::sigmoid;
  bool use_routing_bias = true;
  std::optional<int> bos_token_id;
  std::vector<int> eos_token_id;  ///< any of them ends a sequence; empty if the file says none
  DType dtype = DType::bfloat16;  ///< of everything that is not quantised: float32 or bfloat16
  std::optional<QuantizationConfig> quantization;
  bool ignored_mtp = false;  ///< the file has multi-token-prediction keys; no released checkpoint has their tensors

  /// The text given to from_json(); empty for a configuration made in code.
  std::string original;

  /// Reads any of the three published dialects of config.json. `source` is the name of the file in messages.
  /// Throws Error naming source, key, found and allowed values for whatever this system cannot honour.
  static MiniMaxM2Config from_json(std::string_view text, const std::string& source);

  /// `original`, byte for byte, as long as no field was changed since; else `original` with the changed keys replaced
  /// or added and all others kept. Without an original: a config.json as transformers 5 writes it.
  std::string to_json() const;

  /// Throws Error naming `source` and the first field that is out of range or does not fit another one.
  void validate(const std::string& source) const;

  /// Values in all tensors, without the scales of quantised ones; 228,689,764,864 for M2.
  std::int64_t num_parameters() const;
  /// Values that one token's logits need: num_experts_per_tok experts a layer, no embedding table; 10.42 billion for
  /// M2.
  std::int64_t num_active_parameters() const;

  bool operator==(const MiniMaxM2Config&) const = default;
};

}  // namespace m2
