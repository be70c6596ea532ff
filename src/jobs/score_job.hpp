// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/communicator.hpp"
#include "config/deck.hpp"

namespace m2 {

/// Scores texts: `job: score`. Arguments and errors: run_job().
void run_score(const Deck& deck, Communicator& world, bool check_only);

}  // namespace m2
