// SPDX-License-Identifier: Apache-2.0
// The program m2 before it computes anything: help, decks, plans, and what it says of bad ones.
#include <gmock/gmock.h>

#include <filesystem>

#include "cli/shell.hpp"
#include "io/temporary_folder.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kTiny = M2_TEST_DATA "/tiny-f32";
const std::string kDemo = M2_SOURCE_DIR "/inputs/demo/checkpoint";

// Code and message of a run that must fail without a result.
void expect_failure(const Outcome& outcome, int code, const std::string& message) {
  EXPECT_EQ(outcome.code, code) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("m2: error: "));
  EXPECT_THAT(outcome.err, HasSubstr(message));
}

class M2Usage : public ::testing::Test {
 protected:
  // A deck for tiny-f32 with `more` below it.
  std::string deck(const std::string& more) const {
    write_bytes(folder_ / "deck.yaml", "job: generate\nmodel:\n  checkpoint: " + kTiny + "\n" + more);
    return m2_program() + " " + folder_ / "deck.yaml";
  }
  std::string prompts(const std::string& lines) const {
    write_bytes(folder_ / "prompts.jsonl", lines);
    return deck("prompts:\n  file: " + folder_ / "prompts.jsonl" + "\n");
  }

  TemporaryFolder folder_;
};

TEST_F(M2Usage, HelpAndVersion) {
  const Outcome help = run(m2_program() + " --help");
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.out, HasSubstr("m2 my.yaml output.resume=true"));
  EXPECT_THAT(help.out, HasSubstr("Exit codes: 0 done, 1 failed, 2 bad deck or usage, 75 stopped by SIGUSR1"));
  EXPECT_EQ(help.err, "");
  EXPECT_THAT(run(m2_program() + " --version").out, ::testing::MatchesRegex("m2 [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST_F(M2Usage, BadArguments) {
  expect_failure(run(m2_program()), 2, "DECK, --print-deck or --make-placement");
  expect_failure(run(m2_program() + " --chek"), 2, "--chek");
  expect_failure(run(m2_program() + " --print-deck trian"), 2, "trian");
  expect_failure(run(m2_program() + " nowhere.yaml"), 2, "nowhere.yaml");
}

TEST_F(M2Usage, ThePrintedDecksCanBeUsed) {
  for (const std::string job : {"generate", "score", "bench", "train"}) {
    const Outcome printed = run(m2_program() + " --print-deck " + job);
    EXPECT_EQ(printed.code, 0) << printed.err;
    write_bytes(folder_ / "deck.yaml", printed.out);
    write_bytes(folder_ / "input.jsonl", "{\"token_ids\": [1, 2]}\n");
    std::string command = m2_program() + " " + folder_ / "deck.yaml" + " --check model.checkpoint=" + kTiny;
    if (job == "generate") command += " prompts.file=" + folder_ / "input.jsonl";
    if (job == "train") command += " data.sequence_length=512";  // as many as the tiny model has positions
    if (job == "score" || job == "train") command += " data.file=" + folder_ / "input.jsonl";
    if (job == "bench") command += " bench.context=100";  // the tiny model has 512 positions
    const Outcome check = run(command);
    EXPECT_EQ(check.code, 0) << check.err;
  }
}

TEST_F(M2Usage, EveryDeckOfTheProjectPassesItsCheck) {
  const std::string inputs = M2_SOURCE_DIR "/inputs/";
  int num_decks = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(inputs)) {
    if (entry.path().extension() != ".yaml") continue;
    ++num_decks;
    std::string command =
        "cd " M2_SOURCE_DIR " && " + m2_program() + " " + entry.path().string() + " --check model.checkpoint=" + kDemo;
    if (entry.path().string().starts_with(inputs + "m2/")) {
      const bool generates = entry.path().filename() == "generate.yaml";
      command += generates ? " prompts.file=inputs/demo/prompts.jsonl" : " data.file=inputs/demo/texts.jsonl";
    }
    if (entry.path().filename() == "train.yaml") command += " model.config=null";
    if (entry.path().string().starts_with(inputs + "bench/")) command += " model.config=null bench.context=100";
    const Outcome check = run(command);
    EXPECT_EQ(check.code, 0) << entry.path() << ": " << check.err;
    EXPECT_THAT(check.out, HasSubstr("\ntotal "));
  }
  EXPECT_GE(num_decks, 6);
}

TEST_F(M2Usage, ThePlanSaysWhereTheMemoryGoes) {
  const Outcome check = run(prompts("{\"token_ids\": [1, 2, 3]}\n") + " --check sampling.max_new_tokens=100");
  EXPECT_EQ(check.code, 0) << check.err;
  EXPECT_EQ(check.err, "");
  EXPECT_THAT(check.out, StartsWith("job         generate: 1 prompt, up to 100 new tokens each, the likeliest token"));
  EXPECT_THAT(check.out, HasSubstr("checkpoint  " + kTiny + ", 2.3 MB to read"));
  EXPECT_THAT(check.out,
              HasSubstr("model       MiniMax-M2: 3 layers of width 64, softmax attention in each (4 query and 2 "
                        "key/value heads of 32, the first 16 rotate), 8 experts of width 96, 3 a token;"));
  EXPECT_THAT(check.out, HasSubstr("1 rank, "));
  // 103 positions take two pages of 64; keys and values of 3 layers, 2 heads of 32 floats.
  EXPECT_THAT(check.out, HasSubstr("196.6 kB  128 positions; the longest sequence has 103, up to 1 run at once"));
}

TEST_F(M2Usage, UnknownKeysAndWrongTypes) {
  expect_failure(run(deck("prompts:\n  text: a\nsampling:\n  temprature: 1\n")), 2,
                 folder_ / "deck.yaml" + ":7: unknown key 'sampling.temprature'; did you mean 'sampling.temperature'?");
  expect_failure(run(deck("prompts:\n  text: a\nsampling:\n  top_k: many\n")), 2, folder_ / "deck.yaml" + ":7:");
  expect_failure(run(deck("prompts:\n  text: a\n") + " batch.max_tokenz=5"), 2, "'batch.max_tokens'");
  expect_failure(run(deck("prompts:\n  text: a\nbacth:\n")), 2,
                 folder_ / "deck.yaml" + ":6: unknown key 'bacth'; did you mean 'batch'?");
}

TEST_F(M2Usage, MissingFiles) {
  expect_failure(run(deck("prompts:\n  file: nowhere.jsonl\n")), 1, "nowhere.jsonl");
  expect_failure(run(deck("prompts:\n  text: a\n") + " model.checkpoint=nowhere.h5"), 1, "nowhere.h5");
  expect_failure(run(prompts("{\"token_ids\": [1]}\n") + " output.file=/nowhere/out.jsonl"), 1, "/nowhere/out.jsonl");
}

TEST_F(M2Usage, BadPrompts) {
  const std::string where = folder_ / "prompts.jsonl";
  expect_failure(run(prompts("{\"token_ids\": [1]}\n{\"token_ids\": [384]}\n")), 1,
                 where + ":2: token_ids[0] is 384, expected a whole number from 0 to 383 (vocab_size - 1)");
  std::string ids = "1";
  for (int i = 1; i < 512; ++i) ids += ",1";
  expect_failure(run(prompts("{\"token_ids\": [" + ids + "]}\n")), 1,
                 where + ":1: 512 tokens and one to generate are more than the model's 512 positions");
  expect_failure(run(prompts("{\"prompt\": \"a\"}\n")), 1, where + ":1: the checkpoint has no tokenizer");
  expect_failure(run(prompts("{\"token_ids\": [1]\n")), 1, where + ":1: not valid JSON");
  const std::string two = prompts("{\"token_ids\": [1]}\n{\"token_ids\": [1]}\n");
  expect_failure(run(two + " model.checkpoint=" + kDemo + " output.stream=always"), 2, "there are 2");
}

TEST_F(M2Usage, BadTexts) {
  const std::string where = folder_ / "texts.jsonl";
  const auto score = [&](const std::string& lines) {
    write_bytes(where, lines);
    write_bytes(folder_ / "deck.yaml",
                "job: score\nmodel:\n  checkpoint: " + kTiny + "\ndata:\n  file: " + where + "\n");
    return run(m2_program() + " " + folder_ / "deck.yaml");
  };
  expect_failure(score("{\"token_ids\": [1]}\n{\"token_ids\": [5, -1]}\n"), 1,
                 where + ":2: token_ids[1] is -1, expected a whole number from 0 to 383 (vocab_size - 1)");
  std::string ids = "1";
  for (int i = 1; i < 513; ++i) ids += ",1";
  expect_failure(score("{\"token_ids\": [" + ids + "]}\n"), 1,
                 where + ":1: 513 tokens are more than the model's 512 positions (max_position_embeddings)");
  expect_failure(score("{\"token_ids\": \"1 2\"}\n"), 1,
                 where + ":1: 'token_ids' is of type string, expected a list of whole numbers");
  expect_failure(score("{\"token_ids\": [\"1\"]}\n"), 1, where + ":1: token_ids[0] is \"1\", expected a whole number");
  expect_failure(score("{\"text\": 1}\n"), 1, where + ":1: 'text' is of type number, expected text");
  expect_failure(score("{\"prompt\": \"a\"}\n"), 1, where + ":1: unknown key 'prompt'");
  expect_failure(score("{\"text\": \"a\"}\n"), 1, where + ":1: the checkpoint has no tokenizer");
}

TEST_F(M2Usage, NotEnoughMemoryIsSaidBeforeLoading) {
  const Outcome outcome = run(prompts("{\"token_ids\": [1]}\n") + " memory.limit_gib=0.001");
  expect_failure(outcome, 1, "not enough memory: ");
  EXPECT_THAT(outcome.err, HasSubstr("1.1 MB are available"));
  EXPECT_THAT(outcome.err, HasSubstr("weights 2.3 MB, buffers "));
  EXPECT_THAT(outcome.err, ::testing::Not(HasSubstr("MiniMax-M2:"))) << "the line that announces the loading";
}

TEST_F(M2Usage, RefusesRanksThatDoNotKnowOfEachOther) {
  const std::string command = prompts("{\"token_ids\": [1]}\n");
  for (const std::string variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    // Open MPI keeps memory until the process ends, which a sanitizer would report.
    expect_failure(run("ASAN_OPTIONS=detect_leaks=0 " + variable + "=4 " + command), 2,
                   "4 processes were started (" + variable + ")");
    EXPECT_EQ(run("ASAN_OPTIONS=detect_leaks=0 " + variable + "=1 " + command + " --check").code, 0);
  }
}

TEST_F(M2Usage, SaysNothingOfThreadBinding) {
  const Outcome outcome = run("unset OMP_PROC_BIND; " + prompts("{\"token_ids\": [1]}\n") + " --check");
  EXPECT_EQ(outcome.err, "") << "Kokkos warns of OMP_PROC_BIND unless it is set";
}

}  // namespace
}  // namespace m2::test
