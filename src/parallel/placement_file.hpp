// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "parallel/expert_balance.hpp"
#include "parallel/expert_placement.hpp"

namespace m2 {

/// Throws Error when the file cannot be written.
void write_expert_load(const std::string& path, const ExpertLoad& load);
/// Throws UsageError, naming file and place, for anything else than write_expert_load() writes.
ExpertLoad read_expert_load(const std::string& path);

/// The file of parallel.placement: {"ranks": 4, "layers": [[[0], [1, 3], ...], ...]}.
std::string placement_text(const ExpertPlacement& placement, int num_layers);
/// Throws UsageError naming file, layer and expert for what is wrong.
ExpertPlacement read_placement(const std::string& path, int num_layers, int num_experts, int num_ranks);

/// `m2 --make-placement`: a balanced placement for the loads of a file on standard output, and on stderr what it gains.
void print_placement(const std::string& load_path, int num_ranks, int num_replicas);

}  // namespace m2
