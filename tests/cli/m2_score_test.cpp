// SPDX-License-Identifier: Apache-2.0
// The program m2 scoring.
#include <gmock/gmock.h>

#include <cmath>
#include <cstdint>
#include <span>

#include "cli/shell.hpp"
#include "io/safetensors.hpp"
#include "io/temporary_folder.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

const std::string kDemo = M2_SOURCE_DIR "/inputs/demo/checkpoint";

class M2Score : public ::testing::Test {
 protected:
  Outcome score(const std::string& checkpoint, const std::string& texts, const std::string& keys = "",
                const std::string& environment = "") const {
    write_bytes(folder_ / "texts.jsonl", texts);
    write_bytes(folder_ / "deck.yaml", "job: score\nmodel:\n  checkpoint: " + checkpoint +
                                           "\ndata:\n  file: " + folder_ / "texts.jsonl" + "\n");
    return run(environment + " " + m2_program() + " " + folder_ / "deck.yaml" + " " + keys);
  }

  TemporaryFolder folder_;
};

// The elements of an integer tensor or of a scalar, as T.
template <class T>
std::vector<T> values(const SafetensorsFile& file, const std::string& name) {
  const TensorEntry* entry = file.find(name);
  EXPECT_NE(entry, nullptr) << name;
  std::vector<T> out(entry->size_bytes / sizeof(T));
  file.read(*entry, 0, std::as_writable_bytes(std::span(out)));
  return out;
}

TEST_F(M2Score, TheMeanIsTheLossOfTheReference) {
  const std::string fixture = M2_TEST_DATA "/tiny-f32";
  const SafetensorsFile reference(fixture + "/reference.safetensors");
  const auto ids = values<std::int64_t>(reference, "input_ids");
  const std::size_t length = std::size_t(reference.find("input_ids")->shape.at(1));
  std::string texts;
  for (std::size_t begin = 0; begin < ids.size(); begin += length) {
    texts += Json({{"token_ids", std::vector(&ids[begin], &ids[begin] + length)}}).dump() + "\n";
  }
  const Outcome outcome = score(fixture, texts);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  double nll = 0.0;
  std::size_t num_tokens = 0;
  for (const Json& line : json_lines(outcome.out)) {
    nll += line["nll"].get<double>();
    num_tokens += line["token_ids"].size() - 1;
  }
  // Logits agree within 2e-5 of the largest, about 4 here; each log-probability is a difference of two of them.
  EXPECT_NEAR(nll / double(num_tokens), values<float>(reference, "loss").at(0), 2 * 2e-5 * 4);
}

TEST_F(M2Score, LinesHoldWhatTheyPromise) {
  const Outcome outcome = score(kDemo, R"({"text": "KokkosM2 is a program that reads a mixture of experts", "id": "a"}
{"text": ""}
{"token_ids": [64], "id": 2.5}
)");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::vector<Json> lines = json_lines(outcome.out);
  ASSERT_EQ(lines.size(), 3u);
  const Json& line = lines[0];
  std::vector<std::string> keys;
  for (const auto& [key, value] : line.items()) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"id", "token_ids", "logprobs", "nll", "perplexity"}));
  ASSERT_EQ(line["logprobs"].size(), line["token_ids"].size());
  EXPECT_TRUE(line["logprobs"][0].is_null());
  double nll = 0.0;
  for (std::size_t i = 1; i < line["logprobs"].size(); ++i) nll -= line["logprobs"][i].get<double>();
  EXPECT_NEAR(line["nll"].get<double>(), nll, 1e-6);  // the written numbers have the digits of a float
  const double mean = line["nll"].get<double>() / double(line["token_ids"].size() - 1);
  EXPECT_DOUBLE_EQ(line["perplexity"].get<double>(), std::exp(mean));
  EXPECT_LT(line["perplexity"].get<double>(), 2.0) << "the demo model knows its handbook by heart";

  EXPECT_EQ(lines[1].dump(), R"({"id":1,"token_ids":[],"logprobs":[],"nll":0.0,"perplexity":null})");
  EXPECT_EQ(lines[2].dump(), R"({"id":2.5,"token_ids":[64],"logprobs":[null],"nll":0.0,"perplexity":null})");
  EXPECT_THAT(outcome.err, HasSubstr("tokens/s\nm2: perplexity "));
}

TEST_F(M2Score, TheDemoTellsItsHandbookFromOtherTexts) {
  const Outcome outcome =
      run("cd " M2_SOURCE_DIR " && " + m2_program() + " inputs/demo/score.yaml model.checkpoint=" + kDemo);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::vector<Json> lines = json_lines(outcome.out);
  EXPECT_LT(lines.at(0)["perplexity"].get<double>(), 1.5);
  for (std::size_t i = 1; i < lines.size(); ++i) EXPECT_GT(lines[i]["perplexity"].get<double>(), 20.0);
}

TEST_F(M2Score, ThreadsBatchesAndResumingChangeNoByte) {
  std::string texts = read_bytes(M2_SOURCE_DIR "/inputs/demo/texts.jsonl");
  texts += Json({{"text", read_bytes(M2_SOURCE_DIR "/inputs/demo/handbook.txt")}}).dump() + "\n" + texts;
  const Outcome expected = score(kDemo, texts, "", "OMP_NUM_THREADS=1");
  ASSERT_EQ(expected.code, 0) << expected.err;
  EXPECT_EQ(json_lines(expected.out).size(), 7u);
  EXPECT_EQ(score(kDemo, texts, "", "OMP_NUM_THREADS=2").out, expected.out);
  EXPECT_EQ(score(kDemo, texts, "batch.max_tokens=37 batch.max_sequences=2").out, expected.out);

  const std::string out = folder_ / "out.jsonl";
  const std::size_t cut = expected.out.find('\n', expected.out.find('\n') + 1) + 100;  // within the third line
  write_bytes(out, expected.out.substr(0, cut));
  const Outcome resumed = score(kDemo, texts, "output.resume=true output.file=" + out);
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(read_bytes(out), expected.out);
  const auto total = [](const std::string& text) { return text.substr(text.find("m2: perplexity")); };
  EXPECT_EQ(total(resumed.err), total(expected.err)) << "the total is over all lines, those of the first run included";
}

}  // namespace
}  // namespace m2::test
