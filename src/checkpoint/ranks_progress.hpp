// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/mpi/mailbox.hpp"
#include "core/progress.hpp"

namespace m2 {

/// How far work on bytes is that is spread over ranks. Rank 0 prints it for all of them, with the slowest rank's rate;
/// the others send it a line about once a second, without any collective.
class RanksProgress {
 public:
  /// Collective. `own_bytes`: this rank's share of the work. No communicator: there is one rank.
  RanksProgress(const std::string& label, std::uint64_t own_bytes, Communicator* world);

  /// What the threads of this rank add to.
  Progress& own() { return *progress_; }
  std::uint64_t total_bytes() const { return total_bytes_; }

  /// To be called now and then by the thread that uses the communicator.
  void tick();
  /// Collective, when this rank's work is done: returns the seconds it took all ranks.
  double finish();

 private:
  struct Share {
    std::int64_t total_bytes = 0, done_bytes = 0;
    double seconds = 0;
  };
  void publish();
  void take(const std::vector<std::string>& messages);
  void show_slowest();

  int rank_ = 0;
  std::vector<Share> shares_;  // by rank; kept on rank 0
  std::uint64_t total_bytes_ = 0;
  std::optional<Mailbox> mailbox_;  // of several ranks
  std::optional<Progress> progress_;
  std::chrono::steady_clock::time_point next_tick_;
};

}  // namespace m2
