// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace m2 {

/// What to do instead of all of a job.
struct JobRequest {
  bool check_only = false;  ///< print the plan and stop before the weights are read
  int num_shown = 0;        ///< of a train job: print so many documents and stop
};

}  // namespace m2
