// SPDX-License-Identifier: Apache-2.0
// The program m2 on several ranks when one of them fails: the job ends soon on all, and its cause is said once.
#include <gmock/gmock.h>

#include <filesystem>

#include "cli/ranks.hpp"
#include "io/temporary_folder.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;

const std::string kDemo = M2_SOURCE_DIR "/inputs/demo/checkpoint";
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

  // Ends soon with `code`, and says `message` with the rank and host exactly once.
  void expect_one_cause(const Outcome& outcome, int code, const std::string& message) const {
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_LT(outcome.seconds, kSoonSeconds);
    EXPECT_EQ(occurrences(outcome.err, message), 1) << outcome.err;
    EXPECT_THAT(outcome.err, ::testing::ContainsRegex("rank [0-9]+ of [0-9]+ on [^ ]+: m2: error: "));
    EXPECT_EQ(occurrences(outcome.err, "m2: error: "), 1) << outcome.err;
  }

  // Runs all ranks of a job that fails.
  static Outcome fail(int num_ranks, const std::string& command) {
    return run(on_ranks(num_ranks, command), kHangSeconds);
  }

  // Starts the job, runs `action` (a line of shell) when lines have appeared, and waits for the end; the seconds of the
  // outcome begin with the action.
  Outcome run_and_then(int num_ranks, const std::string& action, const std::string& environment = "") const {
    const std::string out = folder_ / "out.jsonl";
    std::filesystem::remove(out);
    Outcome outcome = run(on_ranks(num_ranks, command(), environment) + " & job=$!; " + "while [ ! -s " + out +
                              " ]; do sleep 0.05; done; " + action + "; date +%s.%N >" + folder_ / "begin" +
                              "; wait $job; code=$?; date +%s.%N >" + folder_ / "end" + "; exit $code",
                          kHangSeconds);
    EXPECT_NE(outcome.code, kTimedOut) << outcome.err;
    if (outcome.code == kTimedOut) return outcome;
    outcome.seconds = std::stod(read_bytes(folder_ / "end")) - std::stod(read_bytes(folder_ / "begin"));
    return outcome;
  }

  // Sends a signal to one rank: the newest m2 process of this deck.
  std::string send(const std::string& signal) const {
    return "kill -" + signal + " $(pgrep -n -f '^" + m2_program() + " " + folder_ / "deck.yaml')";
  }

  TemporaryFolder folder_;
};

TEST_F(M2RankFailure, TheSameErrorOfAllRanksIsSaidOnce) {
  expect_one_cause(fail(4, command("sampling.temprature=1")), 2, "unknown key 'sampling.temprature'");
  expect_one_cause(fail(4, command("model.checkpoint=/nowhere.h5")), 1, "'/nowhere.h5' does not exist");
}

TEST_F(M2RankFailure, AnOutputThatIsAnInputEndsAll) {
  const std::string before = read_bytes(folder_ / "prompts.jsonl");
  for (const std::string how : {"", " --check", " output.resume=true"}) {
    expect_one_cause(fail(4, command("output.file=" + folder_ / "prompts.jsonl" + how)), 2,
                     "output.file '" + folder_ / "prompts.jsonl" + "' and prompts.file '" + folder_ / "prompts.jsonl" +
                         "' are the same file");
    EXPECT_EQ(read_bytes(folder_ / "prompts.jsonl"), before);
  }
}

TEST_F(M2RankFailure, RanksWithDifferentDecksEnd) {
  const std::string by_rank = "sh -c '" + command("sampling.seed=$((1 + $PMIX_RANK / 2))") + "'";
  expect_one_cause(fail(3, by_rank), 2,
                   "the ranks have different decks: rank 0 found 'sampling.seed: 1', rank 2 'sampling.seed: 2'");
}

TEST_F(M2RankFailure, RanksWithDifferentPromptsEnd) {
  std::filesystem::create_directory(folder_ / "0");
  std::filesystem::create_directory(folder_ / "1");
  write_bytes(folder_ / "0/prompts.jsonl", "{\"prompt\": \"a\"}\n");
  write_bytes(folder_ / "1/prompts.jsonl", "{\"prompt\": \"b\"}\n");
  const std::string by_rank =
      "sh -c 'cd " + folder_.path() + "/$PMIX_RANK && " + command("prompts.file=prompts.jsonl") + "'";
  const Outcome outcome = fail(2, by_rank);
  expect_one_cause(outcome, 2, "the ranks have different input files: rank 0 found 'prompts.file prompts.jsonl: ");
  EXPECT_THAT(outcome.err, ::testing::ContainsRegex("16 bytes with hash [0-9a-f]+', rank 1 'prompts.file "
                                                    "prompts.jsonl: 16 bytes with hash [0-9a-f]+'; give all the same"));
}

TEST_F(M2RankFailure, ARankWithoutTheFileEndsTheJob) {
  std::filesystem::create_directory(folder_ / "0");
  std::filesystem::create_directory(folder_ / "1");
  std::filesystem::create_directory_symlink(kDemo, folder_ / "0/checkpoint");
  const std::string by_rank =
      "sh -c 'cd " + folder_.path() + "/$PMIX_RANK && " + command("model.checkpoint=checkpoint") + "'";
  const Outcome outcome = fail(2, by_rank);
  expect_one_cause(outcome, 1, "'checkpoint' does not exist");
  EXPECT_THAT(outcome.err, HasSubstr("rank 1 of 2 on "));
}

TEST_F(M2RankFailure, AnAlteredCheckpointIsSaidOnce) {
  const std::string file = folder_ / "demo.h5";
  ASSERT_EQ(run(m2_convert_program() + " import " + kDemo + " " + file).code, 0);
  std::string bytes = read_bytes(file);
  bytes[bytes.size() / 2] ^= 1;
  write_bytes(file, bytes);
  expect_one_cause(fail(3, command("model.checkpoint=" + file)), 1, "was altered");
}

// Rank 1 reads a copy of its own, which is cut when it has been opened: then the rank reads its prompts, from a pipe.
TEST_F(M2RankFailure, ARankThatLosesItsFileEndsTheJob) {
  ASSERT_EQ(run(m2_convert_program() + " import " + kDemo + " " + folder_ / "demo.h5").code, 0);
  const std::string by_rank = "sh -c 'cd " + folder_.path() + "/$PMIX_RANK && " +
                              command("model.checkpoint=demo.h5 prompts.file=prompts") + "'";
  const Outcome outcome =
      run("cd " + folder_.path() + "; for i in 0 1; do mkdir $i; cp demo.h5 $i; mkfifo $i/prompts; done; " +
              on_ranks(2, by_rank) +
              " & job=$!; cat prompts.jsonl >0/prompts; exec 3>1/prompts; truncate --size=100000 1/demo.h5;"
              " cat prompts.jsonl >&3; exec 3>&-; wait $job",
          kHangSeconds);
  expect_one_cause(outcome, 1, "'demo.h5' is truncated: it ends at byte ");
  EXPECT_THAT(outcome.err, HasSubstr("rank 1 of 2 on "));
}

TEST_F(M2RankFailure, NotEnoughMemoryIsSaidBeforeLoading) {
  for (const std::string keys : {"memory.limit_gib=0.002", "memory.limit_gib=0.002 --check"}) {
    const Outcome outcome = fail(3, command(keys));
    expect_one_cause(outcome, 1, "not enough memory");
    EXPECT_THAT(outcome.err, ::testing::ContainsRegex("not enough memory: [0-9.]+ MB are needed \\(weights [0-9.]+ MB, "
                                                      "buffers [0-9.]+ [kM]B, KV cache [0-9.]+ [kM]B for [0-9]+ "
                                                      "positions\\), 2.1 MB are available to each of the 3 ranks"));
  }
}

TEST_F(M2RankFailure, AKilledRankEndsTheJobAndTheLauncherSaysWhich) {
  for (const std::string& transport : {std::string(), kOverTcp}) {
    const Outcome outcome = run_and_then(3, send("KILL"), transport);
    EXPECT_NE(outcome.code, 0);
    EXPECT_LT(outcome.seconds, kSoonSeconds);
    EXPECT_THAT(outcome.err,
                ::testing::ContainsRegex("rank [0-2] with PID [0-9]+ on node [^ ]+ exited on[ \n]+signal 9"));
    EXPECT_EQ(occurrences(outcome.err, "signal 9"), 1) << outcome.err;
    EXPECT_EQ(occurrences(outcome.err, "m2: error: "), 0) << "what others find later is no cause: " << outcome.err;
  }
}

TEST_F(M2RankFailure, AKilledJobIsResumedWithoutLossOrRepetition) {
  const std::string out = folder_ / "out.jsonl";
  run_and_then(2, send("KILL"));
  ASSERT_LT(json_lines(read_bytes(out).substr(0, read_bytes(out).rfind('\n') + 1)).size(), std::size_t(kPrompts));
  EXPECT_EQ(run(on_ranks(3, command("output.resume=true"))).code, 0);
  const std::string resumed = read_bytes(out);
  EXPECT_EQ(run(command()).code, 0);
  EXPECT_EQ(resumed, read_bytes(out)) << "the file of an undisturbed run on one rank";
}

// Slurm's warning: sequences in flight are finished, no new one is begun, and the code says "run me again".
TEST_F(M2RankFailure, Sigusr1FinishesTheLinesInFlight) {
  for (const int num_ranks : {1, 3}) {
    const std::string out = folder_ / "out.jsonl";
    // One rank alone hears it, and tells the others.
    const Outcome outcome = run_and_then(num_ranks, send("USR1"));
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
  std::string deck = read_bytes(folder_ / "deck.yaml");
  write_bytes(folder_ / "deck.yaml", deck.replace(deck.find("output: {"), 9, "output: {grace_seconds: 0, "));
  const Outcome outcome = run_and_then(2, send("USR1"));
  EXPECT_EQ(outcome.code, 75) << outcome.err;
  EXPECT_LT(outcome.seconds, kSoonSeconds);
}

}  // namespace
}  // namespace m2::test
