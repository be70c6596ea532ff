// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <span>
#include <vector>

#include "model/packed_batch.hpp"

namespace m2 {

/// A sequence under way. Whoever appends to `tokens` makes it go on.
struct ScheduledSequence {
  std::int64_t index = 0;  ///< in the input order
  std::vector<int> tokens;
  std::int64_t num_fed = 0;  ///< tokens that went through the model
  int cache_sequence = 0;
};

/// Tokens [begin, begin + count) of one sequence, which lie from `first_row` on in a step.
struct ScheduledChunk {
  std::list<ScheduledSequence>::iterator sequence;
  std::int64_t begin = 0, count = 0, first_row = 0;
};

struct ScheduledStep {
  PackedTokens tokens;
  std::vector<ScheduledChunk> chunks;
};

/// Continuous batching: sequences wait, run, and leave; those that wait enter in their order as soon as a place and the
/// cache's pages are free. Pages for a sequence's full length are reserved when it enters: none ever starves.
class BatchScheduler {
 public:
  BatchScheduler(KVCache& cache, int max_tokens, int max_sequences);

  /// `tokens` must outlive the waiting; `max_length` is how many positions of the cache the sequence may fill.
  void submit(std::int64_t index, std::span<const int> tokens, std::int64_t max_length);

  KVCache& cache() { return cache_; }

  /// Whether a sequence that is submitted now could begin at once, as far as places go.
  bool has_room() const { return waiting_.empty() && running_.size() < max_sequences_; }
  /// Forgets the sequences that have not begun.
  void drop_waiting() { waiting_.clear(); }

  bool done() const { return waiting_.empty() && running_.empty(); }

  /// The next at most max_tokens tokens to feed: one of each sequence that only goes on, then pieces of those still
  /// being read, the older ones first. Throws Error when the first waiting sequence cannot fit an empty cache.
  ScheduledStep next_step();

  /// The sequence leaves; its pages are free again.
  void remove(std::list<ScheduledSequence>::iterator sequence);

 private:
  struct Waiting {
    std::int64_t index;
    std::span<const int> tokens;
    std::int64_t max_length;
  };

  void admit();
  void add_chunk(std::list<ScheduledSequence>::iterator sequence, ScheduledStep& step) const;

  KVCache& cache_;
  std::int64_t max_tokens_;
  std::size_t max_sequences_;
  std::deque<Waiting> waiting_;
  std::list<ScheduledSequence> running_;  // the older ones first
};

}  // namespace m2
