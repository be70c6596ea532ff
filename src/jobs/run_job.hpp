// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/communicator.hpp"
#include "config/deck.hpp"
#include "jobs/job_request.hpp"

namespace m2 {

/// Runs the job a deck describes on all ranks, or what is requested of it. Results go to output.file, progress and a
/// closing summary to stderr, all from rank 0. Throws UsageError for a deck that cannot be done or would overwrite what
/// it reads, Interrupted on all ranks when the job was asked to stop, Error for everything else.
void run_job(const Deck& deck, Communicator& world, const JobRequest& request);

}  // namespace m2
