// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "comm/communicator.hpp"
#include "config/deck.hpp"
#include "jobs/job_model.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"

namespace m2 {

/// Where the memory of one rank goes, known before anything large is allocated.
struct MemoryPlan {
  std::map<DType, std::int64_t> weight_bytes;  ///< by the type they are stored in
  std::int64_t buffer_bytes = 0;               ///< of a pass through the model, logits included
  std::int64_t kv_pages = 0;                   ///< of kKvPage positions
  std::int64_t kv_bytes = 0;
  std::int64_t longest = 0;                     ///< positions of the longest sequence
  int max_sequences = 0;                        ///< that can run at once
  std::optional<std::int64_t> available_bytes;  ///< nothing where a device does not say
  int ranks_on_host = 1;                        ///< that share the host's memory evenly

  std::int64_t total_weight_bytes() const;
  std::int64_t total_bytes() const { return total_weight_bytes() + buffer_bytes + kv_bytes; }
};

/// What a process may use: memory.limit_gib, or less where the machine has less for each of the ranks on a host.
/// Nothing where a device does not say.
std::optional<std::int64_t> usable_bytes(const MemorySection& memory, int ranks_on_host);

/// Plans for a model whose parameters have their dtypes (JobModel), and sequences that fill `lengths` positions of the
/// cache each. The cache gets room for as many of the longest as run at once, or as the memory holds; for the longest
/// one at least. Collective.
MemoryPlan plan_memory(MiniMaxM2ForCausalLM& model, std::span<const std::int64_t> lengths, std::int64_t buffer_bytes,
                       const Deck& deck, Communicator& world);

/// Throws Error with the numbers and what to change when the plan needs more than there is.
void require_memory(const MemoryPlan& plan);

/// The cache of the plan.
KVCache make_cache(const MemoryPlan& plan, const MiniMaxM2ForCausalLM& model);

/// What --check prints, on rank 0: a table of the job, the model and the memory of each rank. `work` says what the job
/// does, in words. Collective.
void print_plan(const MemoryPlan& plan, const Deck& deck, const JobModel& job, const std::string& work,
                Communicator& world);

}  // namespace m2
