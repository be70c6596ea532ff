// SPDX-License-Identifier: Apache-2.0
// The program m2 training: equal to transformers with torch's AdamW, and to itself after an interruption.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <map>
#include <random>
#include <span>

#include "cli/shell.hpp"
#include "io/safetensors.hpp"
#include "io/temporary_folder.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

const std::string kModel = M2_TEST_DATA "/tiny-f32", kReference = M2_TEST_DATA "/train-tiny";

class M2Train : public ::testing::Test {
 protected:
  // A deck of few keys; `keys` as on the command line.
  Outcome train(const std::string& keys, const std::string& environment = "") const {
    write_bytes(folder_ / "deck.yaml", "job: train\nmodel: {checkpoint: " + kModel +
                                           ", dtype: float32}\ndata: {file: " + kReference +
                                           "/data.jsonl, packing: false, shuffle: false, sequence_length: 64}\n");
    return run(environment + " " + m2_program() + " " + folder_ / "deck.yaml" + " " + keys);
  }

  // The lines of steps and validations, without what depends on time.
  static std::vector<Json> step_lines(const std::string& file) {
    std::vector<Json> lines;
    for (Json line : json_lines(read_bytes(file))) {
      for (const char* key : {"tokens_per_second", "flop_utilisation", "memory_bytes", "seconds"}) line.erase(key);
      lines.push_back(line);
    }
    return lines;
  }

  TemporaryFolder folder_;
};

// What tests/data/make/train_reference.py ran: steps, learning rate and schedule of run.json.
const std::string kReferenceKeys =
    "train.steps=10 train.global_batch=4 optimizer.learning_rate=2e-3 'optimizer.betas=[0.9, 0.95]' "
    "optimizer.weight_decay=0.1 schedule.name=cosine schedule.warmup_steps=2 schedule.min_ratio=0.1 ";

using Weights = std::map<std::string, std::vector<float>>;

Weights read_weights(const std::string& file) {
  const SafetensorsFile safetensors(file);
  Weights weights;
  for (const TensorEntry& entry : safetensors.entries()) {
    EXPECT_EQ(entry.dtype, DType::float32) << entry.name;
    std::vector<float>& values = weights[entry.name];
    values.resize(entry.size_bytes / sizeof(float));
    safetensors.read(entry, 0, std::as_writable_bytes(std::span(values)));
  }
  return weights;
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (double(a[i]) - double(b[i])) * (double(a[i]) - double(b[i]));
  return std::sqrt(sum);
}

TEST_F(M2Train, TenStepsAreThoseOfTransformersAndTorch) {
  const std::string metrics = folder_ / "metrics.jsonl", run_folder = folder_ / "run";
  const Outcome outcome = train(kReferenceKeys + "output.file=" + metrics + " checkpoint.folder=" + run_folder +
                                " checkpoint.export=final");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json expected = Json::parse(read_bytes(kReference + "/run.json")).at("steps");
  const std::vector<Json> lines = step_lines(metrics);
  ASSERT_EQ(lines.size(), expected.size());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i]["step"], expected[i]["step"]);
    EXPECT_EQ(lines[i]["label_tokens"], expected[i]["label_tokens"]);
    EXPECT_NEAR(lines[i]["loss"].get<double>(), expected[i]["loss"].get<double>(), 2e-5) << i;
    const double norm = expected[i]["grad_norm"].get<double>();
    EXPECT_NEAR(lines[i]["grad_norm"].get<double>(), norm, 1e-4 * norm) << i;
    EXPECT_NEAR(lines[i]["learning_rate"].get<double>(), expected[i]["lr"].get<double>(), 1e-9) << i;
  }
  const Weights before = read_weights(kModel + "/model.safetensors");
  const Weights wanted = read_weights(kReference + "/final.safetensors");
  const Weights after = read_weights(run_folder + "/step-10-hf/model.safetensors");
  for (const auto& [name, values] : wanted) {
    ASSERT_TRUE(after.contains(name)) << name;
    EXPECT_LE(distance(after.at(name), values), 1e-3 * distance(values, before.at(name))) << name;
  }
}

// With both betas 0, eps 1 and a learning rate of 1, AdamW is w - g / (|g| + 1): the gradient of the job, unclipped.
TEST_F(M2Train, OneStepShowsTheGradient) {
  const SafetensorsFile reference(kModel + "/reference.safetensors");
  const TensorEntry& entry = *reference.find("input_ids");
  std::vector<std::int64_t> ids(entry.size_bytes / sizeof(std::int64_t));
  reference.read(entry, 0, std::as_writable_bytes(std::span(ids)));
  std::string rows;
  const auto length = std::size_t(entry.shape[1]);
  for (std::size_t begin = 0; begin < ids.size(); begin += length) {
    rows += Json({{"token_ids", std::vector(ids.begin() + begin, ids.begin() + begin + length)}}).dump() + "\n";
  }
  write_bytes(folder_ / "rows.jsonl", rows);
  const Outcome outcome = train(
      "train.steps=1 train.global_batch=2 train.micro_batch=2 train.max_grad_norm=null "
      "'optimizer.betas=[0, 0]' optimizer.eps=1 optimizer.learning_rate=1 "
      "optimizer.weight_decay=0 schedule.name=constant checkpoint.export=final data.file=" +
      folder_ / "rows.jsonl" + " checkpoint.folder=" + folder_ / "run");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Weights before = read_weights(kModel + "/model.safetensors");
  const Weights after = read_weights(folder_ / "run/step-1-hf/model.safetensors");
  for (const std::string name : {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight",
                                 "model.layers.0.self_attn.q_proj.weight", "model.layers.2.self_attn.k_norm.weight"}) {
    const TensorEntry& gradient = *reference.find("grad." + name);
    std::vector<float> g(gradient.size_bytes / sizeof(float));
    reference.read(gradient, 0, std::as_writable_bytes(std::span(g)));
    for (std::size_t i = 0; i < g.size(); ++i) {
      ASSERT_NEAR(after.at(name)[i], before.at(name)[i] - g[i] / (std::abs(g[i]) + 1.0f), 1e-5) << name << ' ' << i;
    }
  }
}

// Masters are float32 where the model is not: small updates add up in them, and those that a weight has not seen yet
// are counted.
TEST_F(M2Train, BFloat16TrainsThroughItsMasters) {
  const std::string metrics = folder_ / "metrics.jsonl";
  const std::string keys = kReferenceKeys +
                           "model.checkpoint=" M2_TEST_DATA
                           "/tiny-bf16 model.dtype=bfloat16 "
                           "optimizer.learning_rate=1e-3 train.steps=60 output.file=" +
                           metrics;
  const Outcome outcome = train(keys + " checkpoint.every=7 checkpoint.folder=" + folder_ / "run");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::vector<Json> lines = step_lines(metrics);
  ASSERT_EQ(lines.size(), 60u);
  EXPECT_LT(lines.back()["loss"].get<double>(), 0.8 * lines.front()["loss"].get<double>());
  EXPECT_GT(lines.front()["updates_lost"].get<std::int64_t>(), 0);
}

TEST_F(M2Train, ShowsWhatCarriesLoss) {
  write_bytes(folder_ / "answers.jsonl", "{\"prompt\": \"Who are you?\", \"completion\": \" A model.\"}\n");
  const Outcome outcome =
      train("--show 1 train.steps=1 model.checkpoint=" M2_SOURCE_DIR "/inputs/demo/checkpoint data.file=" +
            folder_ / "answers.jsonl");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("Who are you?[[ A model."));
}

TEST_F(M2Train, RefusesToGoOnWithOtherSteps) {
  const std::string folder = " checkpoint.folder=" + folder_ / "run";
  ASSERT_EQ(train(kReferenceKeys + folder).code, 0);
  const Outcome other = train(kReferenceKeys + "train.steps=20 optimizer.weight_decay=0.2" + folder);
  EXPECT_EQ(other.code, 1);
  EXPECT_THAT(other.err, HasSubstr("optimizer.weight_decay: 0.2 now, 0.1 when it was saved"));
  EXPECT_THAT(other.err, HasSubstr("train.steps: 20 now, 10 when it was saved"));
  EXPECT_THAT(other.err, HasSubstr("restore.override: true"));
  EXPECT_EQ(train(kReferenceKeys + "train.steps=12 restore.override=true" + folder).code, 0);
  const Outcome afresh = train(kReferenceKeys + "restore.from=none" + folder);
  EXPECT_EQ(afresh.code, 2);
  EXPECT_THAT(afresh.err, HasSubstr("holds checkpoints already"));
}

TEST_F(M2Train, RefusesWhatIsNotThere) {
  const Outcome lora = train("train.steps=1 lora.rank=4 'lora.targets=[q_prj]'");
  EXPECT_EQ(lora.code, 2);
  EXPECT_THAT(lora.err, HasSubstr("q_proj"));
  const Outcome longer = train("train.steps=1 data.sequence_length=513");
  EXPECT_EQ(longer.code, 2);
  EXPECT_THAT(longer.err, HasSubstr("data.sequence_length: 513, the model has 512 positions"));
}

TEST_F(M2Train, GeneratesFromItsCheckpoint) {
  ASSERT_EQ(train(kReferenceKeys + "checkpoint.folder=" + folder_ / "run").code, 0);
  write_bytes(folder_ / "texts.jsonl", "{\"token_ids\": [5, 9, 17, 4]}\n");
  write_bytes(folder_ / "score.yaml", "job: score\nmodel: {checkpoint: " + folder_ / "run/latest" +
                                          "}\ndata: {file: " + folder_ / "texts.jsonl" + "}\n");
  const Outcome scored = run(m2_program() + " " + folder_ / "score.yaml");
  EXPECT_EQ(scored.code, 0) << scored.err;
  EXPECT_EQ(run(m2_convert_program() + " verify " + folder_ / "run/latest").code, 0);
}

TEST_F(M2Train, GoesOnWhereItWasKilledWithTheSameBits) {
  const std::string whole = folder_ / "whole.jsonl", parts = folder_ / "parts.jsonl";
  const std::string keys =
      kReferenceKeys + "checkpoint.every=2 checkpoint.keep=2 checkpoint.export=final validation.file=" + kReference +
      "/data.jsonl validation.every=3 ";
  const Outcome once = train(keys + "output.file=" + whole + " checkpoint.folder=" + folder_ / "a");
  ASSERT_EQ(once.code, 0) << once.err;

  const std::string again = keys + "output.file=" + parts + " checkpoint.folder=" + folder_ / "b";
  std::mt19937 random(7);
  std::uniform_real_distribution<double> moment(0.2 * once.seconds, 1.1 * once.seconds);
  for (int kill = 0; kill < 6; ++kill) {
    const Outcome killed = train(again, "timeout -s KILL " + std::to_string(moment(random)));
    ASSERT_THAT(killed.code, ::testing::AnyOf(0, 128 + SIGKILL)) << killed.err;
    if (killed.code == 0) break;
  }
  const Outcome last = train(again);
  ASSERT_EQ(last.code, 0) << last.err;
  EXPECT_EQ(step_lines(parts), step_lines(whole));
  EXPECT_EQ(read_bytes(folder_ / "b/step-10-hf/model.safetensors"),
            read_bytes(folder_ / "a/step-10-hf/model.safetensors"));
}

TEST_F(M2Train, ASignalSavesAndTheSameCommandContinues) {
  const std::string whole = folder_ / "whole.jsonl", parts = folder_ / "parts.jsonl";
  const std::string keys = kReferenceKeys + "train.steps=400 ";
  const Outcome once = train(keys + "output.file=" + whole);
  ASSERT_EQ(once.code, 0) << once.err;
  const std::string again = keys + "output.file=" + parts + " checkpoint.folder=" + folder_ / "b";
  // A few steps have been done when the signal comes, whatever the machine's speed.
  const Outcome stopped =
      run(m2_program() + " " + folder_ / "deck.yaml" + " " + again + " & job=$!; until [ -s " + parts +
          " ] && [ $(wc -l < " + parts + ") -ge 5 ]; do sleep 0.01; done; kill -TERM $job; wait $job");
  ASSERT_EQ(stopped.code, 128 + SIGTERM) << stopped.err;
  EXPECT_LT(step_lines(parts).size(), step_lines(whole).size());
  const Outcome last = train(again);
  ASSERT_EQ(last.code, 0) << last.err;
  EXPECT_EQ(step_lines(parts), step_lines(whole));
}

TEST_F(M2Train, AnyNumberOfThreadsGivesTheSameBits) {
  const std::string one = folder_ / "one.jsonl", two = folder_ / "two.jsonl";
  ASSERT_EQ(train(kReferenceKeys + "output.file=" + one, "OMP_NUM_THREADS=1").code, 0);
  ASSERT_EQ(train(kReferenceKeys + "output.file=" + two, "OMP_NUM_THREADS=3").code, 0);
  EXPECT_EQ(step_lines(one), step_lines(two));
}

TEST_F(M2Train, RecomputationChangesNoBit) {
  const std::string none = folder_ / "none.jsonl";
  ASSERT_EQ(train(kReferenceKeys + "train.recompute=none output.file=" + none).code, 0);
  for (const std::string mode : {"selective", "block", "auto"}) {
    const std::string other = folder_ / (mode + ".jsonl");
    ASSERT_EQ(train(kReferenceKeys + "train.recompute=" + mode + " output.file=" + other).code, 0);
    EXPECT_EQ(step_lines(none), step_lines(other)) << mode;
  }
}

}  // namespace
}  // namespace m2::test
