// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/expert_placement.hpp"

namespace m2 {

/// How often each expert was chosen, (layers, experts): what a job writes with output.expert_load.
using ExpertLoad = std::vector<std::vector<std::int64_t>>;

/// Throws Error when the file cannot be written.
void write_expert_load(const std::string& path, const ExpertLoad& load);
/// Throws UsageError, naming file and place, for anything else than write_expert_load() writes.
ExpertLoad read_expert_load(const std::string& path);

/// Spreads the experts of each layer over `num_ranks` so that the busiest rank has as little to do as possible: the
/// `num_replicas` experts that are busiest per copy get one more copy each, one at a time; then each copy goes, the
/// busiest first, to the rank with the least load that has room and no copy of it. Every rank gets the same number of
/// copies, give or take one. Throws UsageError when there are fewer experts than ranks.
ExpertPlacement balance_experts(const ExpertLoad& load, int num_ranks, int num_replicas);

/// The file of parallel.placement: {"ranks": 4, "layers": [[[0], [1, 3], ...], ...]}.
std::string placement_text(const ExpertPlacement& placement, int num_layers);
/// Throws UsageError naming file, layer and expert for what is wrong.
ExpertPlacement read_placement(const std::string& path, int num_layers, int num_experts, int num_ranks);

/// Load of the busiest rank over the average, for each layer the worst: 1 is perfect balance.
double imbalance(const ExpertPlacement& placement, const ExpertLoad& load);

/// `m2 --make-placement`: a balanced placement for the loads of a file on standard output, and on stderr what it gains.
void print_placement(const std::string& load_path, int num_ranks, int num_replicas);

}  // namespace m2
