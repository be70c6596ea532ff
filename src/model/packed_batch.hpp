// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "core/views.hpp"
#include "core/workspace.hpp"
#include "kernels/attention/kv_cache.hpp"
#include "model/kv_cache.hpp"

namespace m2 {

/// The tokens of one forward pass, those of all sequences in a row (THD). For token t: its id, its position for RoPE,
/// its row of the KV cache's page table, its place in that sequence's cache, and whether the experts skip it.
struct PackedTokens {
  std::vector<int> token_T, position_T, sequence_T, cache_position_T;
  std::vector<std::uint8_t> skip_experts_T;

  std::int64_t size() const { return std::int64_t(token_T.size()); }
  void add(int token, int position, int sequence, int cache_position, bool skip_experts = false);
};

/// The same on the device, with the RoPE tables of their positions: what every layer needs to know of the tokens.
struct PackedBatch {
  View1D<int> token_T, position_T, sequence_T, cache_position_T;
  View1D<std::uint8_t> skip_experts_T;
  View2D<float> cos_TJ, sin_TJ;
  View2D<const int> page_table_BN;

  PackedBatch(std::int64_t num_tokens, int rotary_dim, Workspace& workspace);

  /// Copies `tokens` and the cache's page table to the device and computes the RoPE tables, rounded to bfloat16 where
  /// `round_rope` is set (as the peers do). Throws Error when the number of tokens differs from the constructor's.
  void fill(const ExecSpace& exec, const PackedTokens& tokens, KVCache& cache, double rope_theta, bool round_rope);

  BatchLayout layout() const { return {sequence_T, cache_position_T, page_table_BN}; }
};

}  // namespace m2
