// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/communicator.hpp"
#include "config/deck.hpp"

namespace m2 {

/// Runs the job a deck describes on all ranks, or with `check_only` prints its plan and stops before the weights are
/// read. Results go to output.file, progress and a closing summary to stderr, all from rank 0. Throws UsageError for a
/// deck that cannot be done or would overwrite what it reads, Interrupted on all ranks when the job was asked to stop,
/// Error for everything else.
void run_job(const Deck& deck, Communicator& world, bool check_only);

}  // namespace m2
