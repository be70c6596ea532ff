// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "comm/communicator.hpp"

namespace m2 {

/// The ranks of this job, for the lifetime of main(). MPI is started only where a launcher (mpirun, srun --mpi=pmix)
/// started the process: without one the program is one rank and needs no MPI at run time. Construct it before Kokkos,
/// one at a time.
class Session {
 public:
  /// Throws UsageError when a launcher started several processes that cannot find each other (srun without
  /// --mpi=pmix, mpirun of another MPI), which would all do the same work. read_launch().rank (comm/launcher.hpp) then
  /// says which of them is to print it.
  Session();
  /// Ends MPI; all ranks must come here. After an exception call fail() instead.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  int rank() const;
  int size() const;

  /// All ranks. MPI for arrays on a host; NCCL in a build for CUDA that found it, unless the ranks share a device.
  /// Made at the first call, which is collective and needs Kokkos.
  Communicator& world();

  /// "rank 3 of 8 on node17: "; nothing on one rank.
  std::string who() const;

  /// Ends the job on every rank with this exit code, in seconds, even if others wait inside a collective. Only the
  /// first rank that gets here prints `message` (with who()) to stderr. On one rank: prints and exits.
  [[noreturn]] void fail(int exit_code, const std::string& message);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace m2
