// SPDX-License-Identifier: Apache-2.0
#include "comm/startup/launcher.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <map>

#include "core/error.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;

class Launcher : public ::testing::Test {
 protected:
  // An environment with these variables and none of a real launcher.
  static Launch launch_with(const std::map<std::string, std::string>& variables) {
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "PMI_SIZE",
                             "PMI_FD", "PMI_CONTROL_PORT", "PALS_RANKID", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK",
                             "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}) {
      ::unsetenv(name);
    }
    for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
    return read_launch();
  }

  static std::string refusal(const Launch& launch, int mpi_size) {
    try {
      require_found(launch, mpi_size);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(Launcher, NobodyStartedIt) {
  const Launch launch = launch_with({});
  EXPECT_FALSE(launch.can_start_mpi);
  EXPECT_EQ(launch.size, 1);
  EXPECT_EQ(refusal(launch, 0), "");
}

TEST_F(Launcher, OpenMpi) {
  const Launch launch = launch_with({{"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_RANK", "3"}, {"PMIX_RANK", "3"}});
  EXPECT_TRUE(launch.can_start_mpi);
  EXPECT_EQ(launch.size, 4);
  EXPECT_EQ(launch.rank, 3);
  EXPECT_EQ(refusal(launch, 4), "");
}

TEST_F(Launcher, SlurmWithPmix) {
  const Launch launch = launch_with({{"PMIX_RANK", "1"}, {"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_PROCID", "1"}});
  EXPECT_TRUE(launch.can_start_mpi);
  EXPECT_EQ(launch.size, 2);
  EXPECT_EQ(launch.rank, 1);
  EXPECT_EQ(refusal(launch, 2), "");
}

TEST_F(Launcher, SlurmWithoutPmixIsRefused) {
  const Launch launch = launch_with({{"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_PROCID", "1"}});
  EXPECT_FALSE(launch.can_start_mpi);
  EXPECT_EQ(
      refusal(launch, 0),
      "2 processes were started (SLURM_STEP_NUM_TASKS) and each is alone, so all would do the same work: start them "
      "with 'srun --mpi=pmix', or with one task");
}

TEST_F(Launcher, TheLauncherOfAnotherMpiIsRefused) {
  const Launch launch = launch_with({{"PMI_SIZE", "3"}, {"PMI_RANK", "0"}});
  EXPECT_TRUE(launch.can_start_mpi);
  EXPECT_THAT(refusal(launch, 1), HasSubstr("3 processes were started (PMI_SIZE), and MPI finds one"));
  EXPECT_THAT(refusal(launch, 1), HasSubstr("srun --mpi=pmix"));
}

TEST_F(Launcher, MpirunWithinASlurmStepOfSeveralTasks) {
  const Launch launch =
      launch_with({{"OMPI_COMM_WORLD_SIZE", "1"}, {"OMPI_COMM_WORLD_RANK", "0"}, {"SLURM_STEP_NUM_TASKS", "2"}});
  EXPECT_EQ(launch.size, 1);
  EXPECT_EQ(refusal(launch, 1), "");
}

TEST_F(Launcher, OneTaskOfSlurmNeedsNoMpi) {
  const Launch launch = launch_with({{"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_PROCID", "0"}});
  EXPECT_FALSE(launch.can_start_mpi);
  EXPECT_EQ(refusal(launch, 0), "");
}

}  // namespace
}  // namespace m2::test
