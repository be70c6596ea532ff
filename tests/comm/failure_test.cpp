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
using ::testing::HasSubstr;
using ::testing::Not;

struct Outcome {
  int code;
  std::string text;  // of stdout and stderr
  double seconds;
};

// 124 is what `timeout` returns when it had to end the job.
constexpr int kTimedOut = 124;

Outcome run(const std::string& command) {
  const auto begin = std::chrono::steady_clock::now();
  std::FILE* pipe = ::popen(("timeout 10 " + command + " 2>&1 </dev/null").c_str(), "r");
  std::string text;
  std::array<char, 4096> buffer;
  while (std::size_t bytes = std::fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), bytes);
  std::erase(text, '\0');  // Open MPI ends its paragraphs with one, where regular expressions would stop
  const int status = ::pclose(pipe);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), text, seconds};
}

Outcome run_ranks(int ranks, const std::string& what) {
  return run(M2_MPIEXEC " " M2_MPIEXEC_NUMPROC_FLAG " " + std::to_string(ranks) +
             " " M2_BINARY_DIR "/test_comm_failing " + what);
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

TEST(Failure, OneRankThrowsWhileTheOthersWait) {
  const Outcome outcome = run_ranks(3, "others-wait");
  EXPECT_EQ(outcome.code, 3) << outcome.text;
  EXPECT_THAT(outcome.text, ContainsRegex("rank 1 of 3 on [^ ]+: the disk is full\n"));
  EXPECT_EQ(count(outcome.text, "the disk is full"), 1) << outcome.text;
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

TEST(Failure, OneRankIsKilledWhileTheOthersWait) {
  const Outcome outcome = run_ranks(3, "killed");
  EXPECT_NE(outcome.code, 0) << outcome.text;
  EXPECT_NE(outcome.code, kTimedOut) << outcome.text;
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
