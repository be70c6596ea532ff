// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace m2 {

/// What a launcher (mpirun, srun) told this process through its environment.
struct Launch {
  bool can_start_mpi = false;  // a library of MPI finds the other processes
  int size = 1;                // processes started together; 1 where nobody says
  int rank = 0;                // the number the launcher gave this one
  std::string source;          // the variable that says `size`
};

Launch read_launch();

/// Throws UsageError when the processes cannot find each other. `mpi_size`: what MPI says; 0: it was not started.
void require_found(const Launch& launch, int mpi_size);

}  // namespace m2
