// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/error.hpp"

namespace m2 {

/// Thrown by work that ends early because somebody asked the process to stop. Programs end with code 128 + signal().
class Interrupted : public Error {
 public:
  explicit Interrupted(int signal);
  int signal() const { return signal_; }

 private:
  int signal_;
};

/// From now on SIGINT, SIGTERM and SIGUSR1 (Slurm's warning) only set a flag, so that long work can end cleanly. A
/// second one of the same kind has its usual effect again: it ends a process that hangs. A file that grows beyond its
/// size limit ends no process either: the write fails, and is told as such.
void install_stop_handler();

/// Whether such a signal came.
bool stop_requested();

/// The first one that came; 0 if none.
int stop_signal();

/// Throws Interrupted if such a signal came. Loops over chunks of files call it.
void throw_if_stop_requested();

}  // namespace m2
