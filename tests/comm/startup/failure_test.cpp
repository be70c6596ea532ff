// SPDX-License-Identifier: Apache-2.0
// Whole jobs whose ranks fail: they must end everywhere, soon, with a code and with one line that says why.
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <string>

namespace m2::test {
namespace {

using ::testing::ContainsRegex;

struct Outcome {
  int code;
  std::string text;  // of stdout and stderr
  double seconds;
};

#ifdef __SANITIZE_ADDRESS__
constexpr double kSoonSeconds = 50;
#else
constexpr double kSoonSeconds = 10;
#endif

// What `timeout` returns when it had to end the job, and two_hosts.sh where it can do nothing.
constexpr int kTimedOut = 124, kSkipped = 77;

Outcome run(const std::string& command) {
  const std::string limited = "timeout --kill-after=5 " + std::to_string(int(2.5 * kSoonSeconds)) + " " + command;
  const auto begin = std::chrono::steady_clock::now();
  std::FILE* pipe = ::popen((limited + " 2>&1 </dev/null").c_str(), "r");
  std::string text;
  std::array<char, 4096> buffer;
  while (std::size_t bytes = std::fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), bytes);
  std::erase(text, '\0');  // Open MPI ends its paragraphs with one, where regular expressions would stop
  const int status = ::pclose(pipe);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const Outcome outcome{WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), text, seconds};
  EXPECT_NE(outcome.code, kTimedOut) << text;
  EXPECT_LT(seconds, kSoonSeconds) << text;
  return outcome;
}

Outcome run_ranks(int ranks, const std::string& what, const std::string& environment = "") {
  return run("env " M2_MPI_ENVIRONMENT " " + environment + " " M2_MPIEXEC " " M2_MPIEXEC_NUMPROC_FLAG " " +
             std::to_string(ranks) + " " M2_BINARY_DIR "/test_comm_failing " + what);
}

int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(Failure, NothingFails) {
  const Outcome outcome = run_ranks(3, "nothing");
  EXPECT_EQ(outcome.code, 0) << outcome.text;
  EXPECT_EQ(outcome.text, "");
}

// What lies between the ranks. On two hosts there are two on each.
enum class Network { shared_memory, tcp, two_hosts };

class FailureOver : public ::testing::TestWithParam<Network> {
 protected:
  static Outcome run_four(const std::string& what) {
    if (GetParam() == Network::shared_memory) return run_ranks(4, what);
    if (GetParam() == Network::tcp) {
      return run_ranks(4, what, "OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo");
    }
    return run("env " M2_MPI_ENVIRONMENT " " M2_SOURCE_DIR "/tests/support/two_hosts.sh " M2_MPIEXEC " 2 " M2_BINARY_DIR
               "/test_comm_failing " +
               what);
  }
};

std::string name_of(const ::testing::TestParamInfo<Network>& info) {
  const char* names[] = {"SharedMemory", "Tcp", "TwoHosts"};
  return names[int(info.param)];
}

INSTANTIATE_TEST_SUITE_P(Networks, FailureOver,
                         ::testing::Values(Network::shared_memory, Network::tcp, Network::two_hosts), name_of);

TEST_P(FailureOver, OneRankThrowsWhileTheOthersWait) {
  const Outcome outcome = run_four("others-wait");
  if (outcome.code == kSkipped) GTEST_SKIP() << outcome.text;
  EXPECT_EQ(outcome.code, 3) << outcome.text;
  EXPECT_THAT(outcome.text, ContainsRegex("rank 1 of 4 on [^ ]+: the disk is full\n"));
  EXPECT_EQ(count(outcome.text, "the disk is full"), 1) << outcome.text;
}

// Others may notice that the connection broke; the launcher says why, and they give it the time to.
TEST_P(FailureOver, OneRankIsKilledWhileTheOthersWait) {
  const Outcome outcome = run_four("killed");
  if (outcome.code == kSkipped) GTEST_SKIP() << outcome.text;
  EXPECT_NE(outcome.code, 0) << outcome.text;
  EXPECT_THAT(outcome.text, ContainsRegex("rank 1 with PID [0-9]+ on node [^ ]+ exited on[ \n]+signal 9"));
  EXPECT_EQ(count(outcome.text, "signal 9"), 1) << outcome.text;
}

TEST(Failure, OneRankThrowsWhileTheOthersCompute) {
  const Outcome outcome = run_ranks(3, "others-compute");
  EXPECT_EQ(outcome.code, 3) << outcome.text;
  EXPECT_THAT(outcome.text, ContainsRegex("rank 1 of 3 on [^ ]+: the disk is full\n"));
  EXPECT_EQ(count(outcome.text, "the disk is full"), 1) << outcome.text;
}

TEST(Failure, OneRankThrowsWhileTheOthersHang) {
  const Outcome outcome = run_ranks(3, "others-hang");
  EXPECT_EQ(outcome.code, 3) << outcome.text;
  EXPECT_EQ(count(outcome.text, "the disk is full"), 1) << outcome.text;
}

TEST(Failure, AllRanksThrowTheSame) {
  const Outcome outcome = run_ranks(4, "all");
  EXPECT_EQ(outcome.code, 3) << outcome.text;
  EXPECT_THAT(outcome.text, ContainsRegex("rank [0-3] of 4 on [^ ]+: the deck is wrong\n"));
  EXPECT_EQ(count(outcome.text, "the deck is wrong"), 1) << outcome.text;
}

TEST(Failure, AllThrowButTheFirstWhichComputes) {
  const Outcome outcome = run_ranks(4, "all-but-first");
  EXPECT_EQ(outcome.code, 3) << outcome.text;
  EXPECT_EQ(count(outcome.text, "the disk is full"), 1) << outcome.text;
}

TEST(Failure, TheCodeIsTheOneThatWasAskedFor) {
  const Outcome outcome = run_ranks(2, "usage");
  EXPECT_EQ(outcome.code, 2) << outcome.text;
  EXPECT_EQ(count(outcome.text, "the deck is wrong"), 1) << outcome.text;
}

TEST(Failure, OneRankAloneSpeaksForItself) {
  const Outcome outcome = run("env KOKKOS_DISABLE_WARNINGS=1 " M2_BINARY_DIR "/test_comm_failing all");
  EXPECT_EQ(outcome.code, 3);
  EXPECT_EQ(outcome.text, "the deck is wrong\n");
}

}  // namespace
}  // namespace m2::test
