// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "infer/prompt_queue.hpp"
#include "jobs/job_model.hpp"
#include "jobs/result_lines.hpp"

namespace m2 {

/// Runs `work` on all ranks and finishes the file, also when the job is stopped: then nobody begins another prompt, the
/// lines there are get written, and Interrupted is thrown on all ranks. Collective.
void run_to_end(Communicator& world, PromptQueue& queue, ResultLines& lines, const std::function<void()>& work);

/// What rank 0 says and writes at the end besides the results: the traffic between ranks on stderr, and
/// output.expert_load. Collective.
void report_parallel(const Deck& deck, const JobModel& job, Communicator& world);

}  // namespace m2
