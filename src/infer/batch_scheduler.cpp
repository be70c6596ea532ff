// SPDX-License-Identifier: Apache-2.0
#include "infer/batch_scheduler.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace m2 {
namespace {

std::int64_t num_left(const ScheduledSequence& sequence) { return std::ssize(sequence.tokens) - sequence.num_fed; }

}  // namespace

BatchScheduler::BatchScheduler(KVCache& cache, int max_tokens, int max_sequences)
    : cache_(cache), max_tokens_(max_tokens), max_sequences_(std::size_t(max_sequences)) {
  M2_REQUIRE(max_tokens >= 1 && max_sequences >= 1, "a batch of {} tokens and {} sequences: both must be at least 1",
             max_tokens, max_sequences);
}

void BatchScheduler::submit(std::int64_t index, std::span<const int> tokens, std::int64_t max_length) {
  waiting_.push_back({index, tokens, max_length});
}

ScheduledStep BatchScheduler::next_step() {
  admit();
  ScheduledStep step;
  for (const bool goes_on : {true, false}) {
    for (auto sequence = running_.begin(); sequence != running_.end(); ++sequence) {
      if ((num_left(*sequence) == 1) == goes_on) add_chunk(sequence, step);
    }
  }
  for (const ScheduledChunk& chunk : step.chunks) chunk.sequence->num_fed += chunk.count;
  return step;
}

void BatchScheduler::admit() {
  while (!waiting_.empty() && running_.size() < max_sequences_) {
    const Waiting& next = waiting_.front();
    const int cache_sequence = cache_.add_sequence();
    if (!cache_.reserve(cache_sequence, next.max_length)) {
      cache_.remove_sequence(cache_sequence);
      M2_REQUIRE(!running_.empty(), "KV cache: its {} pages of {} positions do not hold one sequence of {} positions",
                 cache_.num_pages(), kKvPage, next.max_length);
      return;
    }
    running_.push_back({.index = next.index,
                        .tokens = {next.tokens.begin(), next.tokens.end()},
                        .num_fed = 0,
                        .cache_sequence = cache_sequence});
    waiting_.pop_front();
  }
}

void BatchScheduler::add_chunk(std::list<ScheduledSequence>::iterator sequence, ScheduledStep& step) const {
  const std::int64_t count = std::min(num_left(*sequence), max_tokens_ - step.tokens.size());
  if (count == 0) return;
  const std::int64_t begin = sequence->num_fed;
  step.chunks.push_back({sequence, begin, count, step.tokens.size()});
  for (std::int64_t t = begin; t < begin + count; ++t) {
    step.tokens.add(sequence->tokens[t], int(t), sequence->cache_sequence, int(t));
  }
}

void BatchScheduler::remove(std::list<ScheduledSequence>::iterator sequence) {
  cache_.remove_sequence(sequence->cache_sequence);
  running_.erase(sequence);
}

}  // namespace m2
