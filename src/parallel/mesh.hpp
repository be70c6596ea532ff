// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "comm/communicator.hpp"
#include "config/deck.hpp"
#include "config/minimax_m2_config.hpp"
#include "parallel/expert_parallel.hpp"

namespace m2 {

/// The mesh data x expert that `deck.parallel` asks for: consecutive ranks form a group that shares the experts, and
/// the groups are copies of one another. nullptr where every rank holds all experts. Throws UsageError, with the group
/// sizes that are possible, for one that is not, and for a placement that does not fit. Collective.
std::shared_ptr<ExpertParallel> make_expert_parallel(const Deck& deck, const MiniMaxM2Config& config,
                                                     Communicator& world);

/// The ranks that must make their passes together; nullptr for this rank alone.
inline Communicator* group_of(const ExpertParallel* parallel) { return parallel ? parallel->group.get() : nullptr; }

/// "2 x 4 ranks (data x expert)".
std::string layout_text(const ExpertParallel* parallel, int num_ranks);

/// What crossed the network, summed over the ranks, for the end of a job; empty where nothing can. Collective.
std::string traffic_text(const ExpertParallel* parallel, Communicator& world);

}  // namespace m2
