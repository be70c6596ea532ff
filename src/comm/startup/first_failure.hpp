// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

#include "comm/mpi/mpi_call.hpp"

namespace m2 {

/// Finds out which of the failing ranks is the first, while others compute or wait in a collective. Ranks of one host
/// ask a counter in shared memory, which needs nobody's help; the first of each host asks a counter on rank 0. Rank 0
/// may have to help with that and be busy, so after 1 to 5 seconds a rank takes itself for the first. The time differs
/// between hosts: the first to lose patience ends the others before they speak.
class FirstFailure {
 public:
  /// Collective. `ask_rank_0` even if all ranks share a host (for tests).
  explicit FirstFailure(MPI_Comm comm, bool ask_rank_0 = false);
  /// Collective.
  ~FirstFailure();
  FirstFailure(const FirstFailure&) = delete;
  FirstFailure& operator=(const FirstFailure&) = delete;

  /// True for the first rank that calls it; also when nobody answers in time. Throws nothing.
  bool claim() noexcept;
  /// For a rank that was not the first: lets MPI work, so that others get their answer from rank 0.
  void answer_others(std::chrono::milliseconds time) noexcept;

 private:
  bool claim_on_rank_0() noexcept;

  MpiComm comm_, host_;
  MPI_Win host_window_ = MPI_WIN_NULL, window_ = MPI_WIN_NULL;
  std::int64_t* host_counter_ = nullptr;
  std::chrono::milliseconds patience_{};
};

}  // namespace m2
