// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "comm/startup/session.hpp"

namespace m2 {

/// Exit codes of every program; the last plus the number of the signal that stopped it, as in shells.
inline constexpr int kDone = 0, kFailed = 1, kBadUsage = 2, kSignalBase = 128;

/// All of a main function: runs `work` on each rank and returns its exit code. What it throws ends the job on all ranks
/// with one line on stderr, "<program>: error: ...", and kBadUsage for a UsageError, else kFailed. SIGINT, SIGTERM and
/// SIGUSR1 are work's business (core/stop_signal.hpp).
int run_on_ranks(const std::string& program, const std::function<int(Session&)>& work);

}  // namespace m2
