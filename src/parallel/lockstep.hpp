// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/communicator.hpp"
#include "core/stopwatch.hpp"

namespace m2 {

/// Keeps the ranks that share experts together: all make the same number of passes, those without tokens too, and all
/// stop at the same one.
class Lockstep {
 public:
  /// `group`: the ranks that share experts; nullptr for this rank alone. After SIGUSR1 sequences in flight get
  /// `grace_seconds` to finish.
  Lockstep(Communicator* group, double grace_seconds) : group_(group), grace_seconds_(grace_seconds) {}

  /// Whether a rank of the group has work, so that all must make another pass. Throws Interrupted on all of them when
  /// one was asked to stop at once (SIGINT, SIGTERM, or after the grace).
  bool another_pass(bool has_work);

  /// False once SIGUSR1 came: what is in flight is finished, and nothing new begun.
  bool admits() const { return drain_signal_ == 0; }

  /// At the end: throws Interrupted where SIGUSR1 has cut the work short.
  void finish() const;

 private:
  Communicator* group_;
  double grace_seconds_;
  int drain_signal_ = 0;
  Stopwatch since_drain_;
};

}  // namespace m2
