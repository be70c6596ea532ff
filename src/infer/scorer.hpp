// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "config/deck.hpp"
#include "infer/batch_scheduler.hpp"
#include "infer/prompt_queue.hpp"
#include "infer/prompts.hpp"
#include "infer/token_scorer.hpp"
#include "parallel/lockstep.hpp"

namespace m2 {

/// Log-probabilities of given texts, many at a time; long ones in pieces. The numbers of a text do not depend on the
/// batch, the pieces, the threads, the ranks or the other texts.
class Scorer {
 public:
  /// logprobs[i] = ln p(token i + 1 | tokens 0 to i); in the order in which the texts end.
  using OnResult = std::function<void(std::int64_t index, std::span<const float> logprobs)>;
  /// Called after each pass with the number of tokens it scored.
  using OnProgress = std::function<void(std::int64_t num_tokens)>;

  /// `model` and `cache` must outlive the scorer; `cache` is empty.
  Scorer(const MiniMaxM2ForCausalLM& model, const BatchSection& batch, KVCache& cache);

  /// How many tokens of a text have a predecessor, and so are scored; the cache holds as many positions.
  static std::int64_t num_scored(const Prompt& text);

  /// Scores the texts that `next` gives out, places in `texts`, until neither this rank nor one that shares its experts
  /// has any. Throws Interrupted when the job is asked to stop: results handed out stay as they are.
  void run(std::span<const Prompt> texts, const NextPrompt& next, Lockstep lockstep, const OnResult& on_result,
           const OnProgress& on_progress = {});

 private:
  std::int64_t step(std::span<const Prompt> texts, const OnResult& on_result);

  TokenScorer scorer_;
  KVCache& cache_;
  BatchScheduler scheduler_;
  std::map<std::int64_t, std::vector<float>> logprobs_;  // by index, of what is under way
};

}  // namespace m2
