// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "config/deck.hpp"
#include "infer/batch_scheduler.hpp"
#include "infer/prompts.hpp"
#include "model/token_scorer.hpp"

namespace m2 {

/// Log-probabilities of given texts, many at a time; long ones in pieces. The numbers of a text do not depend on the
/// batch, the pieces, the threads or the other texts.
class Scorer {
 public:
  /// logprobs[i] = ln p(token i + 1 | tokens 0 to i), in the order of the texts, each as soon as all before it are
  /// done.
  using OnResult = std::function<void(std::int64_t index, std::span<const float> logprobs)>;
  /// Called after each pass with the number of tokens it scored.
  using OnProgress = std::function<void(std::int64_t num_tokens)>;

  /// `model` and `cache` must outlive the scorer; `cache` is empty.
  Scorer(const MiniMaxM2ForCausalLM& model, const BatchSection& batch, KVCache& cache);

  /// How many tokens of a text have a predecessor, and so are scored; the cache holds as many positions.
  static std::int64_t num_scored(const Prompt& text);

  /// Scores texts[first], texts[first + 1], ... Throws Interrupted when the process is asked to stop: results handed
  /// out stay as they are.
  void run(std::span<const Prompt> texts, std::int64_t first, const OnResult& on_result,
           const OnProgress& on_progress = {});

 private:
  std::int64_t step(std::span<const Prompt> texts);
  void hand_out(std::span<const Prompt> texts, std::int64_t& next, const OnResult& on_result);

  TokenScorer scorer_;
  KVCache& cache_;
  BatchScheduler scheduler_;
  std::map<std::int64_t, std::vector<float>> logprobs_;  // by index, from the first not yet handed out
};

}  // namespace m2
