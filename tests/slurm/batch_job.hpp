// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <string>

namespace m2::test {

/// How a batch job stands.
struct JobState {
  std::string name;       ///< of the state: PENDING, RUNNING, COMPLETED, FAILED, ...
  std::string exit_code;  ///< "code:signal"
  int restarts = 0;       ///< how often it was put back into the queue
  /// Whether it is one of those that last; between them a job passes through others, as SIGNALING.
  bool ended() const {
    constexpr std::array kLast = {"BOOT_FAIL", "CANCELLED",     "COMPLETED", "DEADLINE", "FAILED",
                                  "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"};
    return std::ranges::find(kLast, name) != kLast.end();
  }
};

/// A job of the Slurm that tests/slurm/cluster.sh started. Results and the log are in `folder`.
class BatchJob {
 public:
  /// Submits inputs/slurm/`script`.sbatch for `num_ranks` ranks of one thread. `settings` are NAME=value ..., quoted
  /// for a shell, and `options` those of sbatch.
  BatchJob(const std::string& folder, const std::string& script, int num_ranks, const std::string& settings,
           const std::string& options = "");
  /// Cancels what still waits or runs.
  ~BatchJob();
  BatchJob(const BatchJob&) = delete;
  BatchJob& operator=(const BatchJob&) = delete;

  JobState state() const;
  /// The state when the job has ended, or after two minutes.
  JobState wait() const;
  /// The state when the job was put back into the queue or has ended, or after two minutes.
  JobState wait_for_restart() const;
  /// Sends a signal to every rank: "USR1" is what Slurm does before the time is over.
  void send(const std::string& signal) const;
  /// Puts the job back into the queue, as Slurm does when it preempts it.
  void requeue() const;

  std::string log() const;
  std::string last_line_of_log() const;

 private:
  std::string folder_, script_, id_;
};

}  // namespace m2::test
