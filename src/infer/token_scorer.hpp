// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/minimax_m2_for_causal_lm.hpp"

namespace m2 {

/// How probable a model finds given tokens. Logits are held for a few rows at a time only, whatever the batch.
class TokenScorer {
 public:
  /// Allocates its buffers for at most `max_tokens` in one call. `model` must outlive it.
  TokenScorer(const MiniMaxM2ForCausalLM& model, std::int64_t max_tokens);

  /// What the constructor allocates.
  static std::int64_t workspace_bytes(const MiniMaxM2ForCausalLM& model, std::int64_t max_tokens);

  /// One pass over packed tokens, as MiniMaxM2ForCausalLM::step. Element i is the natural logarithm of p(target_N[i]
  /// after the token at rows_N[i]), each row given once at most. Throws Error for targets outside the vocabulary.
  std::vector<float> score(const PackedTokens& tokens, std::span<const int> rows_N, std::span<const int> target_N,
                           KVCache& cache);

 private:
  template <class T>
  std::vector<float> score_as(const PackedTokens& tokens, std::span<const int> rows_N, std::span<const int> target_N,
                              KVCache& cache);

  const MiniMaxM2ForCausalLM& model_;
  Workspace workspace_;
};

}  // namespace m2
