// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "comm/mpi/work_queue.hpp"

namespace m2 {

/// Gives out the next prompt to begin, by its place in the input; nothing when none is left.
using NextPrompt = std::function<std::optional<std::int64_t>()>;

/// The prompts of a job, shared by all ranks: whoever has room takes the next one. One rank alone takes them in the
/// order of the input. Several take, of each window of some hundred, the longest first, so that all end at about the
/// same time; results of a window are written before those of the next one at the latest. Collective construction.
class PromptQueue {
 public:
  /// `lengths` of all prompts; those before `first` are done. `max_sequences` run on a rank at once.
  PromptQueue(Communicator& world, std::span<const std::int64_t> lengths, std::int64_t first, int max_sequences);

  std::optional<std::int64_t> next();
  /// Nobody gets another one.
  void close() { queue_.close(); }

  /// How many sequences a rank should run at once, so that few prompts are spread over all ranks.
  int sequences_per_rank() const { return sequences_per_rank_; }

 private:
  std::vector<std::int64_t> order_;
  WorkQueue queue_;
  int sequences_per_rank_;
};

}  // namespace m2
