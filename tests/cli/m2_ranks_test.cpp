// SPDX-License-Identifier: Apache-2.0
// The program m2 on several ranks gives the file that one rank gives.
#include <gmock/gmock.h>

#include <regex>

#include "cli/ranks.hpp"
#include "io/temporary_folder.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;

const std::string kDemo = M2_SOURCE_DIR "/inputs/demo/checkpoint";

// 13 prompts of different lengths, as token ids.
std::string prompts() {
  std::string lines;
  for (int i = 0; i < 13; ++i) {
    std::string ids;
    for (int t = 0; t < 1 + 7 * (i * 5 % 13); ++t) {
      ids += (t == 0 ? "" : ", ") + std::to_string((11 * i + 3 * t * t) % 384);
    }
    lines += "{\"id\": " + std::to_string(i) + ", \"token_ids\": [" + ids + "]}\n";
  }
  return lines;
}

struct Case {
  const char *checkpoint, *dtype;
};

void PrintTo(const Case& of, std::ostream* out) { *out << of.checkpoint << " in " << of.dtype; }

class M2Ranks : public ::testing::TestWithParam<Case> {
 protected:
  M2Ranks() {
    write_bytes(folder_ / "prompts.jsonl", prompts());
    const std::string model = std::string("model: {checkpoint: " M2_TEST_DATA "/") + GetParam().checkpoint +
                              ", dtype: " + GetParam().dtype + "}\n";
    write_bytes(folder_ / "generate.yaml", "job: generate\n" + model + "prompts: {file: " + folder_ / "prompts.jsonl" +
                                               "}\nsampling: {max_new_tokens: 9, logprobs: true, ignore_eos: true}\n");
    write_bytes(folder_ / "score.yaml", "job: score\n" + model + "data: {file: " + folder_ / "prompts.jsonl" + "}\n");
  }

  // The result lines of a run on `num_ranks`, 0 for without mpirun.
  std::string lines(int num_ranks, const std::string& job, const std::string& keys, const std::string& mpi = "") {
    const std::string file = folder_ / "out.jsonl";
    const std::string command = m2_program() + " " + folder_ / (job + ".yaml") + " output.file=" + file + " " + keys;
    const Outcome outcome = run(num_ranks == 0 ? command : on_ranks(num_ranks, command, mpi));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return read_bytes(file);
  }

  void expect_same(const std::string& job, const std::string& keys) {
    const std::string expected = lines(0, job, keys);
    for (const int num_ranks : {2, 3, 4}) {
      EXPECT_EQ(lines(num_ranks, job, keys), expected) << num_ranks << " ranks";
    }
    EXPECT_EQ(lines(3, job, keys, kOverTcp), expected) << "over TCP";
  }

  TemporaryFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Checkpoints, M2Ranks,
                         ::testing::Values(Case{"tiny-f32", "float32"}, Case{"tiny-bf16", "bfloat16"},
                                           Case{"tiny-fp8", "bfloat16"}),
                         [](const auto& parameter) {
                           return std::regex_replace(parameter.param.checkpoint, std::regex("-"), "_");
                         });

TEST_P(M2Ranks, GreedyTextIsThatOfOneRank) {
  expect_same("generate", "sampling.temperature=0");
  EXPECT_EQ(lines(1, "generate", "sampling.temperature=0"), lines(0, "generate", "sampling.temperature=0"))
      << "one that mpirun started";
}
TEST_P(M2Ranks, SampledTextIsThatOfOneRank) {
  expect_same("generate", "sampling.temperature=0.9 sampling.top_k=50 sampling.seed=4 batch.max_sequences=2");
}
TEST_P(M2Ranks, ScoresAreThoseOfOneRank) { expect_same("score", "batch.max_tokens=40"); }

TEST_P(M2Ranks, NoLayoutChangesABit) {
  const std::string expected = lines(0, "generate", "sampling.temperature=0");
  for (const char* keys : {"parallel.expert=1", "parallel.expert=2", "parallel.expert=4 parallel.overlap=on",
                           "parallel.tokens_per_exchange=1 batch.max_sequences=3", "io.shared_reads=on"}) {
    EXPECT_EQ(lines(4, "generate", std::string("sampling.temperature=0 ") + keys), expected) << keys;
  }
}

TEST_P(M2Ranks, APlacementMadeFromMeasuredLoadsChangesNoBit) {
  const std::string load = folder_ / "load.json", placement = folder_ / "placement.json";
  const std::string expected = lines(0, "score", "output.expert_load=" + load);
  const std::string load_of_one = read_bytes(load);
  lines(2, "score", "output.expert_load=" + load);
  EXPECT_EQ(read_bytes(load), load_of_one) << "counts of all ranks";
  const Outcome made = run(m2_program() + " --make-placement " + load + " --ranks 3 --replicas 2 > " + placement);
  EXPECT_EQ(made.code, 0);
  EXPECT_THAT(made.err, HasSubstr("load of the busiest rank over the average"));
  EXPECT_EQ(lines(3, "score", "parallel.placement=" + placement), expected);
}

class M2OnRanks : public ::testing::Test {
 protected:
  M2OnRanks() {
    std::string lines;
    for (int i = 0; i < 12; ++i) lines += "{\"prompt\": \"The deck number " + std::to_string(i) + " is\"}\n";
    write_bytes(folder_ / "prompts.jsonl", lines);
    write_bytes(folder_ / "deck.yaml", "job: generate\nmodel: {checkpoint: " + kDemo +
                                           "}\nprompts: {file: " + folder_ / "prompts.jsonl" +
                                           "}\nsampling: {max_new_tokens: 16, temperature: 0.8, ignore_eos: true}\n"
                                           "batch: {max_sequences: 1}\n");
  }

  std::string command(const std::string& keys) const { return m2_program() + " " + folder_ / "deck.yaml" + " " + keys; }

  TemporaryFolder folder_;
};

TEST_F(M2OnRanks, OneRankSpeaks) {
  const Outcome outcome = run(on_ranks(3, command("output.file=" + folder_ / "out.jsonl")));
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(occurrences(outcome.err, "m2: MiniMax-M2: 4 layers"), 1) << outcome.err;
  EXPECT_EQ(occurrences(outcome.err, "m2: generated 192 tokens for 12 prompts"), 1) << outcome.err;
  EXPECT_EQ(occurrences(outcome.err, "m2: exchanged between ranks"), 1) << outcome.err;
  EXPECT_EQ(outcome.err.find("WARNING"), std::string::npos) << outcome.err;
}

TEST_F(M2OnRanks, TheCheckPrintsEachRanksMemory) {
  const Outcome outcome = run(on_ranks(3, command("--check")));
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("1 x 3 ranks (data x expert)"));
  EXPECT_THAT(outcome.out, HasSubstr("rank     weights    buffers   KV cache      total  of\n   0  "));
  EXPECT_THAT(outcome.out, HasSubstr("\n   2  "));
  EXPECT_EQ(occurrences(outcome.out, "job  "), 1);
}

TEST_F(M2OnRanks, LayoutsThatCannotWorkAreRefusedWithThoseThatCan) {
  const Outcome uneven = run(on_ranks(4, command("parallel.expert=3")));
  EXPECT_EQ(uneven.code, 2);
  EXPECT_EQ(occurrences(uneven.err,
                        "m2: error: parallel.expert: 3 ranks cannot share the 8 experts of a layer on 4 ranks in all; "
                        "possible are 1, 2, 4"),
            1)
      << uneven.err;
  const Outcome alone = run(command("parallel.expert=2"));
  EXPECT_EQ(alone.code, 2);
  EXPECT_THAT(alone.err, HasSubstr("on 1 ranks in all; possible are 1"));
  const Outcome local = run(on_ranks(2, command("backend.dispatcher=local")));
  EXPECT_EQ(local.code, 1);
  EXPECT_EQ(occurrences(local.err, "backend.dispatcher: local needs all experts in one process"), 1) << local.err;
}

TEST_F(M2OnRanks, SummingAnswersEarlyIsTheSameForOneLayout) {
  const std::string keys = "parallel.combine=reduced sampling.temperature=0 output.file=";
  EXPECT_EQ(run(on_ranks(3, command(keys + folder_ / "a.jsonl"))).code, 0);
  EXPECT_EQ(run(on_ranks(3, command(keys + folder_ / "b.jsonl"))).code, 0);
  EXPECT_EQ(read_bytes(folder_ / "a.jsonl"), read_bytes(folder_ / "b.jsonl"));
}

}  // namespace
}  // namespace m2::test
