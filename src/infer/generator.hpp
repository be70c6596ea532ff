// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "infer/batch_sampler.hpp"
#include "infer/batch_scheduler.hpp"
#include "infer/generated_text.hpp"
#include "infer/generation_options.hpp"
#include "infer/prompt_queue.hpp"
#include "infer/prompts.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"
#include "parallel/lockstep.hpp"

namespace m2 {

struct GenerationResult {
  std::vector<int> token_ids;       ///< the one that ended the sequence included
  std::optional<std::string> text;  ///< without it, and without the stop string; nothing without a tokenizer
  bool stopped = false;             ///< by a token or text; else by the length
  std::vector<float> logprobs;      ///< when asked for: ln p of each token from the unmodified logits
};

/// Continues prompts, many at a time. What comes out for a prompt depends on its tokens, its index and the options:
/// not on the batch, the chunks, the threads, the ranks or the other prompts.
class Generator {
 public:
  /// In the order in which they end.
  using OnResult = std::function<void(std::int64_t index, const GenerationResult&)>;
  /// Text that is certain, as soon as it is.
  using OnText = std::function<void(std::int64_t index, std::string_view text)>;

  /// After each pass of the model.
  using OnStep = std::function<void()>;

  /// `model`, `tokenizer` (nullptr: no texts) and `cache` must outlive the generator; `cache` is empty.
  Generator(MiniMaxM2ForCausalLM& model, const Tokenizer* tokenizer, GenerationOptions options,
            const BatchSection& batch, KVCache& cache);

  /// How many positions the sequence of a prompt may fill: prompt and new tokens, within the model's positions.
  static std::int64_t max_length(const Prompt& prompt, const GenerationOptions& options, const MiniMaxM2Config& config);

  /// Continues the prompts that `next` gives out, places in `prompts`, until neither this rank nor one that shares its
  /// experts has any. Throws Interrupted when the job is asked to stop: results handed out stay as they are.
  void run(std::span<const Prompt> prompts, const NextPrompt& next, Lockstep lockstep, const OnResult& on_result,
           const OnText& on_text = {}, const OnStep& on_step = {});

  /// Tokens generated so far.
  std::int64_t num_generated() const { return num_generated_; }

 private:
  // What was generated of one sequence.
  struct State {
    std::int64_t prompt_length = 0;
    std::int64_t max_length = 0;
    GenerationResult result;
    std::optional<GeneratedText> text;
  };
  using Sequence = std::list<ScheduledSequence>::iterator;

  void submit(const Prompt& prompt, std::int64_t index);
  void step(const OnResult& on_result, const OnText& on_text);
  std::vector<int> sample(View2D<const float> logits_BV, const std::vector<Sequence>& sequences);
  std::vector<float> logprobs(View2D<const float> logits_BV, std::span<const int> tokens) const;
  void append(Sequence sequence, int token, const OnResult& on_result, const OnText& on_text);
  bool ends(State& state, int token) const;

  MiniMaxM2ForCausalLM& model_;
  const Tokenizer* tokenizer_;
  GenerationOptions options_;
  BatchSampler sampler_;
  BatchScheduler scheduler_;
  std::map<std::int64_t, State> states_;  // by index, of what waits or runs
  std::int64_t num_generated_ = 0;
  View1D<int> token_B_;
  View1D<float> logprob_B_;
};

}  // namespace m2
