// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/expert_placement.hpp"

namespace m2 {

/// How often each expert was chosen, (layers, experts): what a job writes with output.expert_load.
using ExpertLoad = std::vector<std::vector<std::int64_t>>;

/// Spreads the experts of each layer over `num_ranks` so that the busiest rank has as little to do as possible: the
/// `num_replicas` experts that are busiest per copy get one more copy each, one at a time; then each copy goes, the
/// busiest first, to the rank with the least load that has room and no copy of it. Every rank gets the same number of
/// copies, give or take one. Throws UsageError when there are fewer experts than ranks.
ExpertPlacement balance_experts(const ExpertLoad& load, int num_ranks, int num_replicas);

/// Load of the busiest rank over the average, for each layer the worst: 1 is perfect balance.
double imbalance(const ExpertPlacement& placement, const ExpertLoad& load);

}  // namespace m2
