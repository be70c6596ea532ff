// SPDX-License-Identifier: Apache-2.0
#include "infer/scorer.hpp"

#include <algorithm>

#include "infer/run_batches.hpp"

namespace m2 {

Scorer::Scorer(const MiniMaxM2ForCausalLM& model, const BatchSection& batch, KVCache& cache)
    : scorer_(model, batch.max_tokens), cache_(cache), scheduler_(cache, batch.max_tokens, batch.max_sequences) {}

std::int64_t Scorer::num_scored(const Prompt& text) { return std::max<std::int64_t>(std::ssize(text.tokens) - 1, 0); }

void Scorer::run(std::span<const Prompt> texts, const NextPrompt& next, Lockstep lockstep, const OnResult& on_result,
                 const OnProgress& on_progress) {
  const auto submit = [&](std::int64_t index) {
    const std::int64_t count = num_scored(texts[index]);
    // The last token is only a target: the model need not read it.
    if (count > 0) scheduler_.submit(index, std::span(texts[index].tokens).first(count), count);
    if (count == 0) on_result(index, {});
  };
  run_batches(scheduler_, next, lockstep, submit, [&] {
    const std::int64_t num_tokens = step(texts, on_result);
    if (on_progress) on_progress(num_tokens);
  });
}

std::int64_t Scorer::step(std::span<const Prompt> texts, const OnResult& on_result) {
  const ScheduledStep step = scheduler_.next_step();
  std::vector<int> row_N, target_N;
  for (const ScheduledChunk& chunk : step.chunks) {
    for (std::int64_t i = 0; i < chunk.count; ++i) {
      row_N.push_back(int(chunk.first_row + i));
      target_N.push_back(texts[chunk.sequence->index].tokens[chunk.begin + i + 1]);
    }
  }
  const std::vector<float> logprob_N = scorer_.score(step.tokens, row_N, target_N, cache_);
  for (const ScheduledChunk& chunk : step.chunks) {
    const std::int64_t index = chunk.sequence->index;
    std::vector<float>& logprobs = logprobs_[index];
    const auto begin = logprob_N.begin() + chunk.first_row;  // every token is a row, so rows are numbered as tokens
    logprobs.insert(logprobs.end(), begin, begin + chunk.count);
    if (chunk.begin + chunk.count < std::ssize(chunk.sequence->tokens)) continue;
    scheduler_.remove(chunk.sequence);
    on_result(index, logprobs);
    logprobs_.erase(index);
  }
  return step.tokens.size();
}

}  // namespace m2
