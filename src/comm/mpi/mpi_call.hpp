// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mpi.h>

#include "comm/communicator.hpp"

namespace m2 {

/// Throws Error with MPI's words unless `code` is MPI_SUCCESS. `call` is the function's name.
void check_mpi(int code, const char* call);

/// False before MPI_Init and after MPI_Finalize.
bool mpi_is_running();

/// A communicator whose errors are returned, freed with its owner.
class MpiComm {
 public:
  explicit MpiComm(MPI_Comm comm);
  ~MpiComm();
  MpiComm(const MpiComm&) = delete;
  MpiComm& operator=(const MpiComm&) = delete;

  /// The same ranks, but no message of one is received by the other. Collective.
  static MPI_Comm duplicate(MPI_Comm comm);

  MPI_Comm get() const { return comm_; }
  /// Freeing is collective: not while an exception is on its way, when the other ranks do not come.
  bool can_free() const;

 private:
  MPI_Comm comm_;
  int num_exceptions_;
};

/// What the forms of Communicator that were made from MPI have in common.
class HasMpi {
 public:
  virtual ~HasMpi() = default;
  virtual MPI_Comm mpi() const = 0;
};

/// The MPI communicator behind `communicator`; MPI_COMM_NULL for one rank alone.
MPI_Comm mpi_of(const Communicator& communicator);

}  // namespace m2
