// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/communicator.hpp"
#include "config/deck.hpp"

namespace m2 {

/// Measures the model beside the machine: `job: bench`. Arguments and errors: run_job().
void run_bench(const Deck& deck, Communicator& world, bool check_only);

}  // namespace m2
