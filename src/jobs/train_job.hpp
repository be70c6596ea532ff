// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/communicator.hpp"
#include "config/deck.hpp"
#include "jobs/job_request.hpp"

namespace m2 {

/// Trains a model, or adapters beside one: `job: train`. Arguments and errors: run_job().
void run_train(const Deck& deck, Communicator& world, const JobRequest& request);

}  // namespace m2
