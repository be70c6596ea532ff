// SPDX-License-Identifier: Apache-2.0
// The program m2 generating: equal to the reference, whatever the threads and batches.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdint>
#include <span>

#include "cli/shell.hpp"
#include "io/safetensors.hpp"
#include "io/temporary_folder.hpp"

namespace m2::test {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Json = nlohmann::ordered_json;

const std::string kDemo = M2_SOURCE_DIR "/inputs/demo/checkpoint";

class M2Generate : public ::testing::Test {
 protected:
  // Runs a generate job over lines of prompts; `keys` as on the command line.
  Outcome generate(const std::string& checkpoint, const std::string& prompts, const std::string& keys,
                   const std::string& environment = "") const {
    write_bytes(folder_ / "prompts.jsonl", prompts);
    write_bytes(folder_ / "deck.yaml", "job: generate\nmodel:\n  checkpoint: " + checkpoint +
                                           "\nprompts:\n  file: " + folder_ / "prompts.jsonl" + "\n");
    return run(environment + " " + m2_program() + " " + folder_ / "deck.yaml" + " " + keys);
  }

  TemporaryFolder folder_;
};

std::vector<std::int64_t> integers(const SafetensorsFile& file, const std::string& name) {
  const TensorEntry* entry = file.find(name);
  EXPECT_TRUE(entry != nullptr && entry->dtype == DType::int64) << name;
  std::vector<std::int64_t> values(entry->size_bytes / sizeof(std::int64_t));
  file.read(*entry, 0, std::as_writable_bytes(std::span(values)));
  return values;
}

TEST_F(M2Generate, GreedyTokensAreThoseOfTheReference) {
  for (const std::string name : {"tiny-f32", "tiny-bf16", "tiny-fp8"}) {
    const std::string fixture = M2_TEST_DATA "/" + name;
    const SafetensorsFile reference(fixture + "/reference.safetensors");
    const std::vector<std::int64_t> prompt = integers(reference, "prompt_ids");
    std::vector<std::int64_t> expected = integers(reference, "greedy_ids");
    if (expected.size() > prompt.size() && std::equal(prompt.begin(), prompt.end(), expected.begin())) {
      expected.erase(expected.begin(), expected.begin() + std::ptrdiff_t(prompt.size()));
    }
    // The reference computes in float32.
    const Outcome outcome = generate(fixture, Json({{"token_ids", prompt}}).dump() + "\n",
                                     "model.dtype=float32 sampling.ignore_eos=true sampling.temperature=0 "
                                     "sampling.max_new_tokens=" +
                                         std::to_string(expected.size()));
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const Json line = json_lines(outcome.out).at(0);
    EXPECT_EQ(line["token_ids"], Json(expected)) << name;
    EXPECT_EQ(line["prompt_token_ids"], Json(prompt));
    EXPECT_EQ(line["text"], Json(nullptr)) << "the fixture has no tokenizer";
  }
}

TEST_F(M2Generate, TheDemoSpeaksTheWordsOfTheHandbook) {
  const std::string deck = M2_SOURCE_DIR "/inputs/demo/generate.yaml";
  const Outcome outcome = run(m2_program() + " " + deck + " model.checkpoint=" + kDemo);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out,
              StartsWith("KokkosM2 is a program that reads a mixture of experts and lets it speak. It runs on "
                         "a laptop"));
  const std::string handbook = read_bytes(M2_SOURCE_DIR "/inputs/demo/handbook.txt");
  const std::string spoken = outcome.out.substr(0, outcome.out.size() - 1);  // the closing newline is the program's
  EXPECT_GT(spoken.size(), 400u);
  EXPECT_NE(handbook.find(spoken), std::string::npos) << spoken;
  EXPECT_THAT(outcome.err, HasSubstr("m2: MiniMax-M2: 4 layers"));
  EXPECT_THAT(outcome.err, ContainsRegex(R"(tokens/s; the first one [0-9.]+ s after the start, with loading)"));
}

TEST_F(M2Generate, LinesHaveTheirKeysInOrder) {
  const Outcome outcome =
      generate(kDemo, "{\"prompt\": \"KokkosM2 is a program\", \"id\": \"x\"}\n",
               "sampling.max_new_tokens=8 sampling.temperature=0 output.stream=never sampling.logprobs=true");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json line = json_lines(outcome.out).at(0);
  std::vector<std::string> keys;
  for (const auto& [key, value] : line.items()) keys.push_back(key);
  EXPECT_EQ(keys,
            (std::vector<std::string>{"id", "prompt_token_ids", "token_ids", "text", "finish_reason", "logprobs"}));
  EXPECT_EQ(line["id"], "x");
  EXPECT_EQ(line["finish_reason"], "length");
  EXPECT_EQ(line["token_ids"].size(), 8u);
  EXPECT_EQ(line["logprobs"].size(), 8u);
  for (const Json& logprob : line["logprobs"]) EXPECT_LE(logprob.get<double>(), 0.0);
  EXPECT_THAT(line["text"].get<std::string>(), StartsWith(" that reads a mixture"));
}

TEST_F(M2Generate, AStopTextIsCutOff) {
  const Outcome outcome = generate(kDemo, "{\"prompt\": \"KokkosM2 is a program\"}\n",
                                   "sampling.temperature=0 'sampling.stop=[\"of exp\"]' output.stream=never");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json line = json_lines(outcome.out).at(0);
  EXPECT_EQ(line["text"], " that reads a mixture ");
  EXPECT_EQ(line["finish_reason"], "stop");
}

// Sampled lines of several prompts are the same bytes for any threads and batches, and from any kind of checkpoint.
TEST_F(M2Generate, ThreadsBatchesAndStorageChangeNoByte) {
  const std::string prompts = read_bytes(M2_SOURCE_DIR "/inputs/demo/prompts.jsonl");
  const std::string keys =
      "sampling.max_new_tokens=24 sampling.temperature=0.8 sampling.seed=3 sampling.logprobs=true ";
  const Outcome expected = generate(kDemo, prompts, keys, "OMP_NUM_THREADS=1");
  ASSERT_EQ(expected.code, 0) << expected.err;
  EXPECT_EQ(json_lines(expected.out).size(), 6u);
  EXPECT_EQ(generate(kDemo, prompts, keys, "OMP_NUM_THREADS=2").out, expected.out);
  EXPECT_EQ(generate(kDemo, prompts, keys + "batch.max_tokens=5 batch.max_sequences=2").out, expected.out);
  EXPECT_EQ(generate(kDemo, prompts, keys + "batch.max_tokens=64 batch.max_sequences=1").out, expected.out);
  const Outcome import = run(m2_convert_program() + " import " + kDemo + " " + folder_ / "demo.h5");
  ASSERT_EQ(import.code, 0) << import.err;
  EXPECT_EQ(generate(folder_ / "demo.h5", prompts, keys).out, expected.out);
  EXPECT_NE(generate(kDemo, prompts, keys + "sampling.seed=4").out, expected.out);
}

// One process that exchanges tokens with itself: the counters of the exchange show that it did.
TEST_F(M2Generate, TheDispatcherChangesNoByte) {
  const std::string prompts = read_bytes(M2_SOURCE_DIR "/inputs/demo/prompts.jsonl");
  const std::string keys = "sampling.max_new_tokens=16 sampling.temperature=0.8 sampling.logprobs=true ";
  const Outcome local = generate(kDemo, prompts, keys + "backend.dispatcher=local");
  const Outcome exchanged = generate(kDemo, prompts, keys + "backend.dispatcher=all_to_all");
  ASSERT_EQ(local.code, 0) << local.err;
  ASSERT_EQ(exchanged.code, 0) << exchanged.err;
  EXPECT_EQ(exchanged.out, local.out);
  EXPECT_THAT(exchanged.err, HasSubstr("m2: exchanged between ranks 0 B to experts"));
  EXPECT_THAT(local.err, ::testing::Not(HasSubstr("exchanged")));
  EXPECT_EQ(json_lines(local.out).size(), 6u);
}

TEST_F(M2Generate, MinPAndTheRepetitionPenaltyChangeTheText) {
  const auto tokens = [&](const std::string& keys) {
    const Outcome outcome = generate(kDemo, "{\"prompt\": \"KokkosM2 is a program\"}\n",
                                     "sampling.max_new_tokens=24 sampling.ignore_eos=true output.stream=never " + keys);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json_lines(outcome.out).at(0)["token_ids"].get<std::vector<int>>();
  };
  const std::vector<int> greedy = tokens("sampling.temperature=0"), hot = tokens("sampling.temperature=5");
  EXPECT_NE(hot, greedy);
  EXPECT_EQ(tokens("sampling.temperature=5 sampling.min_p=1"), greedy) << "only the likeliest token is left";
  EXPECT_NE(tokens("sampling.temperature=5 sampling.min_p=0.1"), hot);

  std::vector<int> once = tokens("sampling.temperature=0 sampling.repetition_penalty=100");
  EXPECT_NE(once, greedy);
  std::ranges::sort(once);
  EXPECT_EQ(std::ranges::adjacent_find(once), once.end()) << "a token that was seen is next to impossible";
}

TEST_F(M2Generate, StreamsTheTextOfOnePrompt) {
  const Outcome outcome =
      generate(kDemo, "{\"prompt\": \"A language model\"}\n",
               "sampling.max_new_tokens=6 output.stream=always output.file=" + folder_ / "out.jsonl");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json line = json_lines(read_bytes(folder_ / "out.jsonl")).at(0);
  EXPECT_EQ(outcome.out, "A language model" + line["text"].get<std::string>() + "\n");
}

// auto, on a terminal and off it. A terminal ends lines with "\r\n".
TEST_F(M2Generate, StreamsTheTextToATerminal) {
  if (run("command -v script").code != 0) {
    GTEST_SKIP() << "the program `script` (package bsdutils or util-linux), which plays the terminal, is missing";
  }
  const std::string one = "{\"prompt\": \"A language model\"}\n";
  const std::string keys = "sampling.max_new_tokens=6 output.stream=";
  const Outcome line = generate(kDemo, one, keys + "auto");
  ASSERT_EQ(line.code, 0) << line.err;
  const std::string text = json_lines(line.out).at(0)["text"];
  const auto on_terminal = [&](const std::string& more) {
    const Outcome outcome = run("script -qec '" + m2_program() + " " + folder_ / "deck.yaml" + " " + keys + more +
                                " 2>/dev/null' /dev/null");
    EXPECT_EQ(outcome.code, 0) << outcome.out;
    return outcome.out;
  };
  EXPECT_EQ(on_terminal("auto"), "A language model" + text + "\r\n");
  EXPECT_EQ(on_terminal("never"), line.out.substr(0, line.out.size() - 1) + "\r\n");
  generate(kDemo, one + one, keys + "auto");
  EXPECT_THAT(on_terminal("auto"), StartsWith("{\"id\":0,")) << "the texts of two prompts would mix";
}

}  // namespace
}  // namespace m2::test
