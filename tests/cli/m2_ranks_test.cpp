// SPDX-License-Identifier: Apache-2.0
// The program m2 under a launcher that starts it twice.
#include <gmock/gmock.h>

#include "cli/shell.hpp"

namespace m2::test {
namespace {

TEST(M2Ranks, TwoRanksEndWithOneClearError) {
  const Outcome outcome = run(M2_MPIEXEC " --allow-run-as-root --oversubscribe -n 2 " + m2_program() +
                              " " M2_SOURCE_DIR "/inputs/demo/generate.yaml");
  EXPECT_EQ(outcome.code, 2);
  const std::string message = "m2: error: started on 2 ranks (OMPI_COMM_WORLD_SIZE), and this version runs on one";
  const std::size_t first = outcome.err.find(message);
  EXPECT_NE(first, std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.err.find(message, first + 1), std::string::npos) << "only one rank speaks";
}

}  // namespace
}  // namespace m2::test
