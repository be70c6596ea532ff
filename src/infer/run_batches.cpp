// SPDX-License-Identifier: Apache-2.0
#include "infer/run_batches.hpp"

#include <optional>

namespace m2 {
namespace {

void admit(BatchScheduler& scheduler, const NextPrompt& next, const Lockstep& lockstep,
           const std::function<void(std::int64_t)>& submit) {
  while (lockstep.admits() && scheduler.has_room()) {
    const std::optional<std::int64_t> index = next();
    if (!index) return;
    submit(*index);
  }
  if (!lockstep.admits()) scheduler.drop_waiting();
}

}  // namespace

void run_batches(BatchScheduler& scheduler, const NextPrompt& next, Lockstep lockstep,
                 const std::function<void(std::int64_t index)>& submit, const std::function<void()>& step) {
  admit(scheduler, next, lockstep, submit);
  while (lockstep.another_pass(!scheduler.done())) {
    step();
    admit(scheduler, next, lockstep, submit);
  }
  lockstep.finish();
}

}  // namespace m2
