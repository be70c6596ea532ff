// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "core/views.hpp"
#include "model/kv_cache.hpp"

namespace m2 {

/// Token ids of B sequences of S tokens, row by row; in the packed format B is 1 and S the sum of all lengths.
struct InputIds {
  int num_sequences = 0;  ///< B
  int length = 0;         ///< S
  std::vector<int> ids = {};
};

enum class QkvFormat {
  bshd,  ///< padded: one sequence a row
  thd    ///< packed: sequences one after another, divided by cu_seqlens
};

/// What MiniMaxM2ForCausalLM::forward may be told beside the ids, with the names of NeMo AutoModel. Arrays are B x S,
/// row by row; an empty one means its default.
struct ForwardOptions {
  /// Default: 0..S-1 in each row (after the cached positions, if there is a cache), 0.. in each packed sequence.
  std::vector<int> position_ids = {};
  /// 1 = real. Tokens with 0 are seen by no other and get logits of 0. Default: all real.
  std::vector<std::uint8_t> attention_mask = {};
  /// 1 = pad: the token skips the experts. Default: the complement of attention_mask.
  std::vector<std::uint8_t> padding_mask = {};
  /// Logits of the last n positions only; 0 means all.
  int logits_to_keep = 0;
  /// Logits of these positions only (the same in each row); not together with logits_to_keep.
  std::vector<int> logits_positions = {};
  bool output_hidden_states = false;
  QkvFormat qkv_format = QkvFormat::bshd;
  /// Packed format: 0, then where each sequence ends; entries of -1000 at the end are ignored.
  std::vector<int> cu_seqlens = {};
  /// Continues what the cache holds, and adds to it: row b, or packed sequence b, is its sequence cache_sequences[b].
  KVCache* cache = nullptr;
  std::vector<int> cache_sequences = {};
};

struct CausalLMOutput {
  View3D<float> logits_BNV = {};  ///< N kept positions
  /// When asked for: after the embedding, after each block; the last one after the final norm too. (B, S, D) each.
  std::vector<View3D<float>> hidden_states = {};
};

}  // namespace m2
