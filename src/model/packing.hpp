// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "config/minimax_m2_config.hpp"
#include "model/forward_options.hpp"
#include "model/packed_batch.hpp"

namespace m2 {

/// The real tokens of a padded or packed batch in a row, and where each came from.
struct PackedInput {
  PackedTokens tokens;                 ///< sequence_T counts the sequences of this batch, from 0
  std::vector<std::int64_t> source_T;  ///< the token's index in input_ids
  std::vector<std::int64_t> length_B;  ///< real tokens of each sequence
};

/// Checks ids and options against each other and the model, and packs. `cached_B` is how many positions of each
/// sequence the cache holds already (empty: none). Throws Error naming the argument, what was found and what fits.
PackedInput pack_input(const MiniMaxM2Config& config, const InputIds& input_ids, const ForwardOptions& options,
                       const std::vector<std::int64_t>& cached_B);

/// How many sequences the batch has: B, or those of cu_seqlens.
int num_sequences(const InputIds& input_ids, const ForwardOptions& options);

/// The kept positions of each row, ascending as asked for: all, the last n, or the list. Throws Error for positions
/// outside 0..S-1.
std::vector<int> kept_positions(const InputIds& input_ids, const ForwardOptions& options);

}  // namespace m2
