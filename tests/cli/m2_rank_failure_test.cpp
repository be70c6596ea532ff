// SPDX-License-Identifier: Apache-2.0
// The program m2 on several ranks when one of them fails: the job ends soon on all, and its cause is said once.
#include <gmock/gmock.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include "cli/ranks.hpp"
#include "io/temporary_folder.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;

const std::string kDemo = M2_SOURCE_DIR "/inputs/demo/checkpoint";
constexpr double kSoon_seconds = 10;
constexpr int kPrompts = 32;

class M2RankFailure : public ::testing::Test {
 protected:
  M2RankFailure() {
    std::string lines;
    for (int i = 0; i < kPrompts; ++i) lines += "{\"prompt\": \"The deck number " + std::to_string(i) + " is\"}\n";
    write_bytes(folder_ / "prompts.jsonl", lines);
    write_bytes(folder_ / "deck.yaml", "job: generate\nmodel: {checkpoint: " + kDemo +
                                           "}\nprompts: {file: " + folder_ / "prompts.jsonl" +
                                           "}\nsampling: {max_new_tokens: 200, temperature: 0.8, ignore_eos: true}\n"
                                           "batch: {max_sequences: 2}\noutput: {file: " +
                                           folder_ / "out.jsonl" + "}\n");
  }

  std::string command(const std::string& keys = "") const {
    return m2_program() + " " + folder_ / "deck.yaml" + " " + keys;
  }

  // Ends with `code`, and says `message` with the rank and host exactly once.
  void expect_one_cause(const Outcome& outcome, int code, const std::string& message) const {
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_EQ(occurrences(outcome.err, message), 1) << outcome.err;
    EXPECT_THAT(outcome.err, ::testing::ContainsRegex("rank [0-9]+ of [0-9]+ on [^ ]+: m2: error: "));
    EXPECT_EQ(occurrences(outcome.err, "m2: error: "), 1) << outcome.err;
  }

  // Starts the job, runs `action` (a line of shell) when lines have appeared, and waits for the end.
  Outcome run_and_then(int num_ranks, const std::string& action, double* seconds) const {
    const std::string out = folder_ / "out.jsonl";
    const Outcome outcome = run(on_ranks(num_ranks, command()) + " & job=$!; " + "while [ ! -s " + out +
                                " ]; do sleep 0.05; done; " + action + "; date +%s.%N >" + folder_ / "begin" +
                                "; wait $job; code=$?; date +%s.%N >" + folder_ / "end" + "; exit $code");
    *seconds = std::stod(read_bytes(folder_ / "end")) - std::stod(read_bytes(folder_ / "begin"));
    return outcome;
  }

  TemporaryFolder folder_;
};

TEST_F(M2RankFailure, TheSameErrorOfAllRanksIsSaidOnce) {
  expect_one_cause(run(on_ranks(4, command("sampling.temprature=1"))), 2, "unknown key 'sampling.temprature'");
  expect_one_cause(run(on_ranks(4, command("model.checkpoint=/nowhere.h5"))), 1, "'/nowhere.h5' does not exist");
}

TEST_F(M2RankFailure, RanksWithDifferentDecksEnd) {
  const std::string by_rank = "sh -c '" + command("sampling.seed=$((1 + $PMIX_RANK / 2))") + "'";
  expect_one_cause(run(on_ranks(3, by_rank)), 2,
                   "the ranks have different decks: rank 0 found 'sampling.seed: 1', rank 2 'sampling.seed: 2'");
}

TEST_F(M2RankFailure, ARankWithoutTheFileEndsTheJob) {
  std::filesystem::create_directory(folder_ / "0");
  std::filesystem::create_directory(folder_ / "1");
  std::filesystem::create_directory_symlink(kDemo, folder_ / "0/checkpoint");
  const std::string by_rank =
      "sh -c 'cd " + folder_.path() + "/$PMIX_RANK && " + command("model.checkpoint=checkpoint") + "'";
  const Outcome outcome = run(on_ranks(2, by_rank));
  expect_one_cause(outcome, 1, "'checkpoint' does not exist");
  EXPECT_THAT(outcome.err, HasSubstr("rank 1 of 2 on "));
}

TEST_F(M2RankFailure, AnAlteredCheckpointIsSaidOnce) {
  const std::string file = folder_ / "demo.h5";
  ASSERT_EQ(run(m2_convert_program() + " import " + kDemo + " " + file).code, 0);
  std::string bytes = read_bytes(file);
  bytes[bytes.size() / 2] ^= 1;
  write_bytes(file, bytes);
  expect_one_cause(run(on_ranks(3, command("model.checkpoint=" + file))), 1, "was altered");
}

TEST_F(M2RankFailure, NotEnoughMemoryIsSaidBeforeLoading) {
  expect_one_cause(run(on_ranks(2, command("memory.limit_gib=0.002"))), 1, "not enough memory");
}

TEST_F(M2RankFailure, AKilledRankEndsTheJob) {
  double seconds = 0;
  // The newest m2 process is one of this job's ranks.
  const Outcome outcome =
      run_and_then(3, "kill -KILL $(pgrep -n -f '^" + m2_program() + " " + folder_ / "deck.yaml')", &seconds);
  EXPECT_NE(outcome.code, 0);
  EXPECT_LT(seconds, kSoon_seconds);
  EXPECT_THAT(outcome.err, HasSubstr("signal 9")) << "the launcher says which rank, and on which host";
}

TEST_F(M2RankFailure, AKilledJobIsResumedWithoutLossOrRepetition) {
  double seconds = 0;
  const std::string out = folder_ / "out.jsonl";
  run_and_then(2, "kill -KILL $(pgrep -n -f '^" + m2_program() + " " + folder_ / "deck.yaml')", &seconds);
  ASSERT_LT(json_lines(read_bytes(out).substr(0, read_bytes(out).rfind('\n') + 1)).size(), std::size_t(kPrompts));
  EXPECT_EQ(run(on_ranks(3, command("output.resume=true"))).code, 0);
  const std::string resumed = read_bytes(out);
  EXPECT_EQ(run(command()).code, 0);
  EXPECT_EQ(resumed, read_bytes(out)) << "the file of an undisturbed run on one rank";
}

// Slurm's warning: sequences in flight are finished, no new one is begun, and the code says "run me again".
TEST_F(M2RankFailure, Sigusr1FinishesTheLinesInFlight) {
  for (const int num_ranks : {1, 3}) {
    double seconds = 0;
    const std::string out = folder_ / "out.jsonl";
    std::filesystem::remove(out);
    // One rank alone hears it, and tells the others.
    const Outcome outcome =
        run_and_then(num_ranks, "kill -USR1 $(pgrep -n -f '^" + m2_program() + " " + folder_ / "deck.yaml')", &seconds);
    EXPECT_EQ(outcome.code, 75) << outcome.err;
    EXPECT_EQ(occurrences(outcome.err, "m2: stopped by SIGUSR1"), 1) << outcome.err;
    const std::string stopped = read_bytes(out);
    EXPECT_TRUE(stopped.ends_with("\n"));
    EXPECT_LT(json_lines(stopped).size(), std::size_t(kPrompts));
    EXPECT_EQ(run(on_ranks(2, command("output.resume=true"))).code, 0);
    const std::string resumed = read_bytes(out);
    EXPECT_TRUE(resumed.starts_with(stopped));
    EXPECT_EQ(json_lines(resumed).size(), std::size_t(kPrompts));
  }
}

TEST_F(M2RankFailure, WithoutGraceItStopsAtOnce) {
  double seconds = 0;
  std::string deck = read_bytes(folder_ / "deck.yaml");
  write_bytes(folder_ / "deck.yaml", deck.replace(deck.find("output: {"), 9, "output: {grace_seconds: 0, "));
  const Outcome outcome =
      run_and_then(2, "kill -USR1 $(pgrep -n -f '^" + m2_program() + " " + folder_ / "deck.yaml')", &seconds);
  EXPECT_EQ(outcome.code, 75) << outcome.err;
  EXPECT_LT(seconds, kSoon_seconds);
}

}  // namespace
}  // namespace m2::test
