// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

#include "infer/batch_scheduler.hpp"
#include "infer/prompt_queue.hpp"
#include "parallel/lockstep.hpp"

namespace m2 {

/// Calls `submit` with each prompt that `next` gives out as soon as `scheduler` has room, and `step` for one pass of
/// the model at a time, until neither this rank nor one that shares its experts has any left. Throws Interrupted when
/// the job is asked to stop.
void run_batches(BatchScheduler& scheduler, const NextPrompt& next, Lockstep lockstep,
                 const std::function<void(std::int64_t index)>& submit, const std::function<void()>& step);

}  // namespace m2
