// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "comm/communicator.hpp"

namespace m2 {

/// Numbers 0, 1, 2, ... handed out to whichever rank asks next: each number to one rank. Construction and destruction
/// are collective; next() is not. The counter lies on rank 0. Ranks of its host, and others over networks with remote
/// atomics, reach it at any time; over TCP they wait until rank 0 is inside any call of MPI.
class WorkQueue {
 public:
  WorkQueue(Communicator& world, std::int64_t count);
  ~WorkQueue();
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  /// The next number; `count` when none is left.
  std::int64_t next();
  /// From now on nobody gets another number (a stop signal came).
  void close();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace m2
