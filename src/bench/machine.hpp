// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/result.hpp"
#include "comm/communicator.hpp"

namespace m2 {

/// Where and when this runs.
BenchMachine describe_machine(const ExecSpace& exec, const Communicator& world);

/// Ceilings of all ranks, measured at the same time: added up, and rank 0's own. Collective.
struct RankCeilings {
  Ceilings all, first;
};
RankCeilings measure_ceilings_of_ranks(const ExecSpace& exec, Communicator& world);

}  // namespace m2
