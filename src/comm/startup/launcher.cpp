// SPDX-License-Identifier: Apache-2.0
#include "comm/startup/launcher.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "core/error.hpp"

namespace m2 {
namespace {

// Their presence says that MPI_Init will find the others: PMIx (Open MPI's mpirun, srun --mpi=pmix), PMI (MPICH, Intel
// MPI, Cray MPI, srun --mpi=pmi2), Cray PALS, MVAPICH.
constexpr std::array kStarters{"OMPI_COMM_WORLD_SIZE", "PMIX_RANK",   "PMI_RANK",           "PMI_FD",
                               "PMI_CONTROL_PORT",     "PALS_RANKID", "MV2_COMM_WORLD_SIZE"};

// Where they say how many, the most reliable first: Slurm's variables also describe the step that started mpirun.
struct Names {
  const char *size, *rank;
};
constexpr std::array<Names, 4> kCounts{{{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
                                        {"PMI_SIZE", "PMI_RANK"},
                                        {"MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"},
                                        {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}}};

int number_of(const char* variable, int otherwise) {
  const char* value = std::getenv(variable);
  return value == nullptr ? otherwise : std::atoi(value);
}

}  // namespace

Launch read_launch() {
  Launch launch;
  launch.can_start_mpi = std::ranges::any_of(kStarters, [](const char* name) { return std::getenv(name) != nullptr; });
  for (const Names& names : kCounts) {
    if (std::getenv(names.size) == nullptr) continue;
    launch.size = number_of(names.size, 1);
    launch.rank = number_of(names.rank, 0);
    launch.source = names.size;
    break;
  }
  return launch;
}

void require_found(const Launch& launch, int mpi_size) {
  if (launch.size <= 1 || mpi_size > 1) return;
  if (!launch.can_start_mpi) {
    raise_usage(
        "{} processes were started ({}) and each is alone, so all would do the same work: start them with "
        "'srun --mpi=pmix', or with one task",
        launch.size, launch.source);
  }
  raise_usage(
      "{} processes were started ({}), and MPI finds one: this is the launcher of another MPI. Use 'srun "
      "--mpi=pmix', or the mpirun of the MPI this program was built with",
      launch.size, launch.source);
}

}  // namespace m2
