// SPDX-License-Identifier: Apache-2.0
// Adapters through the programs: trained as PEFT trains them, used by generate and score, merged by m2-convert.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "cli/shell.hpp"
#include "io/safetensors.hpp"
#include "io/temporary_folder.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

const std::string kModel = M2_TEST_DATA "/tiny-f32", kLora = M2_TEST_DATA "/lora-tiny";

class M2Lora : public ::testing::Test {
 protected:
  Outcome train(const std::string& keys) const {
    write_bytes(folder_ / "deck.yaml", "job: train\nmodel: {checkpoint: " + kModel +
                                           ", dtype: float32}\ndata: {file: " + kLora +
                                           "/data.jsonl, packing: false, shuffle: false, sequence_length: 64}\n");
    return run(m2_program() + " " + folder_ / "deck.yaml" + " " + keys);
  }

  // The log-probabilities of a few tokens.
  std::vector<float> score(const std::string& model) const {
    write_bytes(folder_ / "texts.jsonl", "{\"token_ids\": [5, 9, 17, 4, 250, 33, 8, 101]}\n");
    write_bytes(folder_ / "score.yaml",
                "job: score\nmodel: {dtype: float32, " + model + "}\ndata: {file: " + folder_ / "texts.jsonl" + "}\n");
    const Outcome outcome = run(m2_program() + " " + folder_ / "score.yaml");
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    std::vector<float> logprobs;
    if (outcome.code != 0) return logprobs;
    const Json line = Json::parse(outcome.out);
    for (const Json& value : line.at("logprobs")) {
      if (!value.is_null()) logprobs.push_back(value.get<float>());
    }
    return logprobs;
  }

  std::vector<float> losses(const std::string& file) const {
    std::vector<float> values;
    for (const Json& line : json_lines(read_bytes(file))) {
      if (line.contains("loss") && line.contains("grad_norm")) values.push_back(line["loss"].get<float>());
    }
    return values;
  }

  TemporaryFolder folder_;
};

// What tests/data/make/lora_reference.py ran.
const std::string kReferenceKeys =
    "train.global_batch=3 train.max_grad_norm=null optimizer.learning_rate=5e-3 'optimizer.betas=[0.9, 0.95]' "
    "optimizer.weight_decay=0 schedule.name=constant train.steps=6 lora.adapter=" +
    kLora + "/adapter ";

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = a.size() == b.size() ? 0.0 : INFINITY;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    largest = std::max(largest, std::abs(double(a[i]) - double(b[i])));
  return largest;
}

TEST_F(M2Lora, SixStepsAreThoseOfPeft) {
  const Outcome outcome = train(kReferenceKeys + "output.file=" + folder_ / "metrics.jsonl" +
                                " checkpoint.export=final checkpoint.folder=" + folder_ / "run");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("adapters: q_proj 3, k_proj 3, v_proj 3, o_proj 3, experts 6; rank 3, alpha 6"));
  const Json expected = Json::parse(read_bytes(kLora + "/run.json")).at("steps");
  std::size_t step = 0;
  for (const Json& line : json_lines(read_bytes(folder_ / "metrics.jsonl"))) {
    if (!line.contains("grad_norm")) continue;
    ASSERT_LT(step, expected.size());
    const double norm = expected[step]["grad_norm"].get<double>();
    EXPECT_NEAR(line["loss"].get<double>(), expected[step]["loss"].get<double>(), 5e-5) << step;
    EXPECT_NEAR(line["grad_norm"].get<double>(), norm, 1e-4 * norm) << step;
    ++step;
  }
  EXPECT_EQ(step, expected.size());

  // Trained values, of the distance travelled.
  const SafetensorsFile before(kLora + "/adapter/adapter_model.safetensors"),
      wanted(kLora + "/trained/adapter_model.safetensors"),
      after(folder_ / "run/step-6-peft/adapter_model.safetensors");
  ASSERT_EQ(after.entries().size(), wanted.entries().size());
  for (const TensorEntry& entry : wanted.entries()) {
    const auto read = [&](const SafetensorsFile& file) {
      const TensorEntry& found = *file.find(entry.name);
      std::vector<float> values(found.size_bytes / sizeof(float));
      file.read(found, 0, std::as_writable_bytes(std::span(values)));
      return values;
    };
    const std::vector<float> start = read(before), end = read(wanted), ours = read(after);
    double travelled = 0.0, missed = 0.0;
    for (std::size_t i = 0; i < end.size(); ++i) {
      travelled += (end[i] - start[i]) * (end[i] - start[i]);
      missed += (end[i] - ours[i]) * (end[i] - ours[i]);
    }
    EXPECT_LE(std::sqrt(missed), 1e-3 * std::sqrt(travelled)) << entry.name;
  }
}

TEST_F(M2Lora, GoesOnFromACheckpointWithTheSameBits) {
  ASSERT_EQ(train(kReferenceKeys + "checkpoint.export=final output.file=" + folder_ / "whole.jsonl" +
                  " checkpoint.folder=" + folder_ / "a")
                .code,
            0);
  const std::string parts = kReferenceKeys +
                            "checkpoint.export=final restore.override=true output.file=" + folder_ / "parts.jsonl" +
                            " checkpoint.folder=" + folder_ / "b";
  ASSERT_EQ(train(parts + " train.steps=2").code, 0);
  const Outcome rest = train(parts);
  ASSERT_EQ(rest.code, 0) << rest.err;
  EXPECT_EQ(losses(folder_ / "parts.jsonl"), losses(folder_ / "whole.jsonl"));
  EXPECT_EQ(read_bytes(folder_ / "b/step-6-peft/adapter_model.safetensors"),
            read_bytes(folder_ / "a/step-6-peft/adapter_model.safetensors"));
}

TEST_F(M2Lora, ScoresWithAnAdapterAndWithMergedWeights) {
  const std::vector<float> base = score("checkpoint: " + kModel);
  const std::vector<float> adapted = score("checkpoint: " + kModel + ", adapter: " + kLora + "/adapter");
  EXPECT_GT(largest_difference(adapted, base), 0.01);
  for (const std::string& out : {folder_ / "merged", folder_ / "merged.h5"}) {
    const Outcome merge = run(m2_convert_program() + " merge " + kModel + " " + kLora + "/adapter " + out);
    ASSERT_EQ(merge.code, 0) << merge.err;
    EXPECT_THAT(merge.out, HasSubstr("probe: logits differ by"));
    EXPECT_LT(largest_difference(score("checkpoint: " + out), adapted), 1e-4);
  }
}

// New adapters add nothing before the first step, and only they are trained: the base of the checkpoint is the base.
TEST_F(M2Lora, NewAdaptersBesideWhatTheDeckNames) {
  const Outcome outcome = train(
      "train.global_batch=3 train.steps=1 schedule.name=constant lora.rank=4 lora.alpha=8 "
      "'lora.targets=[q_proj, experts, gate, lm_head]' checkpoint.export=final checkpoint.folder=" +
      folder_ / "run");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("adapters: q_proj 3, gate 3, experts 6, lm_head 1; rank 4, alpha 8"));
  EXPECT_EQ(score("checkpoint: " + folder_ / "run/latest"), score("checkpoint: " + kModel));
  EXPECT_NE(score("checkpoint: " + kModel + ", adapter: " + folder_ / "run/step-1-peft"),
            score("checkpoint: " + kModel));
}

TEST_F(M2Lora, SaysWhatIsWrong) {
  const auto refusal = [&](const std::string& keys) {
    const Outcome outcome = train("train.steps=1 " + keys);
    EXPECT_EQ(outcome.code, 2) << keys;
    return outcome.err;
  };
  EXPECT_THAT(refusal("lora.rank=2 'lora.targets=[q_prj]'"), HasSubstr("lora.targets: 'q_prj' hits nothing"));
  EXPECT_THAT(refusal("lora.rank=2 'lora.targets=[q_prj]'"), HasSubstr("did you mean 'q_proj'?"));
  EXPECT_THAT(refusal("lora.rank=2 'lora.targets=[q_proj]' lora.dropout=0.1"), HasSubstr("lora.dropout"));
  EXPECT_THAT(refusal("lora.rank=2 lora.adapter=" + kLora + "/adapter"), HasSubstr("lora.rank: found 2"));
  EXPECT_THAT(refusal("'lora.targets=[q_proj]' lora.adapter=" + kLora + "/adapter"), HasSubstr("lora.targets"));
}

}  // namespace
}  // namespace m2::test
