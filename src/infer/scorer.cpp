// SPDX-License-Identifier: Apache-2.0
#include "infer/scorer.hpp"

#include <algorithm>

#include "core/stop_signal.hpp"

namespace m2 {

Scorer::Scorer(const MiniMaxM2ForCausalLM& model, const BatchSection& batch, KVCache& cache)
    : scorer_(model, batch.max_tokens), cache_(cache), scheduler_(cache, batch.max_tokens, batch.max_sequences) {}

std::int64_t Scorer::num_scored(const Prompt& text) { return std::max<std::int64_t>(std::ssize(text.tokens) - 1, 0); }

void Scorer::run(std::span<const Prompt> texts, std::int64_t first, const OnResult& on_result,
                 const OnProgress& on_progress) {
  for (std::int64_t index = first; index < std::ssize(texts); ++index) {
    logprobs_[index] = {};
    const std::int64_t count = num_scored(texts[index]);
    // The last token is only a target: the model need not read it.
    if (count > 0) scheduler_.submit(index, std::span(texts[index].tokens).first(count), count);
  }
  std::int64_t next = first;
  hand_out(texts, next, on_result);
  while (!scheduler_.done()) {
    throw_if_stop_requested();
    const std::int64_t num_tokens = step(texts);
    if (on_progress) on_progress(num_tokens);
    hand_out(texts, next, on_result);
  }
}

std::int64_t Scorer::step(std::span<const Prompt> texts) {
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
    std::vector<float>& logprobs = logprobs_.at(chunk.sequence->index);
    const auto begin = logprob_N.begin() + chunk.first_row;  // every token is a row, so rows are numbered as tokens
    logprobs.insert(logprobs.end(), begin, begin + chunk.count);
    if (chunk.begin + chunk.count == std::ssize(chunk.sequence->tokens)) scheduler_.remove(chunk.sequence);
  }
  return step.tokens.size();
}

void Scorer::hand_out(std::span<const Prompt> texts, std::int64_t& next, const OnResult& on_result) {
  while (!logprobs_.empty()) {
    const auto& [index, logprobs] = *logprobs_.begin();
    if (std::ssize(logprobs) < num_scored(texts[index])) return;
    on_result(next++, logprobs);
    logprobs_.erase(logprobs_.begin());
  }
}

}  // namespace m2
