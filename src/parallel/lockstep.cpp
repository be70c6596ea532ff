// SPDX-License-Identifier: Apache-2.0
#include "parallel/lockstep.hpp"

#include <array>
#include <csignal>
#include <cstdint>
#include <vector>

#include "core/stop_signal.hpp"

namespace m2 {

bool Lockstep::another_pass(bool has_work) {
  const int signal = stop_signal();
  const bool drains = signal == SIGUSR1;
  const bool grace_is_over = drain_signal_ != 0 && since_drain_.seconds() >= grace_seconds_;
  const int stop_now = grace_is_over ? drain_signal_ : drains ? 0 : signal;
  const std::array<std::int64_t, 3> mine{has_work, stop_now, drains ? signal : 0};
  const std::vector<std::int64_t> all =
      group_ ? group_->max_values(mine) : std::vector<std::int64_t>(mine.begin(), mine.end());
  if (all[1] != 0) throw Interrupted(int(all[1]));
  if (all[2] != 0 && drain_signal_ == 0) {
    drain_signal_ = int(all[2]);
    since_drain_ = Stopwatch();
    if (grace_seconds_ == 0) throw Interrupted(drain_signal_);
  }
  return all[0] != 0;
}

void Lockstep::finish() const {
  if (drain_signal_ != 0) throw Interrupted(drain_signal_);
}

}  // namespace m2
