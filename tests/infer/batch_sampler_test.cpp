// SPDX-License-Identifier: Apache-2.0
#include "infer/batch_sampler.hpp"

#include <gmock/gmock.h>

#include <cmath>

#include "core/error.hpp"
#include "infer/copied_bytes.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"

namespace m2 {
namespace {

using test::exec;

constexpr int kVocabSize = 3000;
constexpr int kNumRows = 7;
const std::vector<int> kNever{0, 17, 2998, 2999};
const std::vector<int> kHistory{5, 6, 7, 8, 9};

// All of them are looked for where the logits are.
const std::vector<SamplingOptions> kOfTheLikeliest{
    {},
    {.temperature = 1.0, .top_k = 1},
    {.temperature = 0.7, .top_k = 5, .seed = 3},
    {.temperature = 1.0, .top_k = 40, .top_p = 0.95, .seed = 4},
    {.temperature = 2.0, .top_k = kMaxDeviceTopK, .min_p = 0.01, .seed = 5},
    {.temperature = 1e-60, .top_k = 40},
};

const std::vector<SamplingOptions> kOfAll{
    {.temperature = 1.0},
    {.temperature = 1.0, .top_k = kMaxDeviceTopK + 1},
    {.temperature = 1.0, .top_k = kVocabSize},
    {.temperature = 0.8, .top_p = 0.9},
    {.temperature = 0.8, .min_p = 0.1},
    {.repetition_penalty = 1.3},
    {.temperature = 0.8, .top_k = 40, .repetition_penalty = 1.3},
};

std::vector<SamplingContext> contexts(int num_rows, std::uint64_t step) {
  std::vector<SamplingContext> context_B;
  for (int b = 0; b < num_rows; ++b) context_B.push_back({kHistory, std::uint64_t(10 + b), step});
  return context_B;
}

std::vector<int> sample(const SamplingOptions& options, const std::vector<float>& logits, std::uint64_t step) {
  const auto num_rows = int(logits.size()) / kVocabSize;
  BatchSampler sampler(exec(), options, kNever, kVocabSize, kNumRows);
  return sampler.sample(test::to_device<float>(logits, num_rows, kVocabSize), contexts(num_rows, step));
}

// The batch's tokens are those that Sampler draws row by row from all logits.
void expect_same_tokens(const SamplingOptions& options, const std::vector<float>& logits) {
  Sampler sampler(options, kNever);
  for (const std::uint64_t step : {0, 1, 2, 3, 4}) {
    const std::vector<int> actual = sample(options, logits, step);
    for (std::size_t b = 0; b < actual.size(); ++b) {
      EXPECT_EQ(actual[b],
                sampler.sample(std::span(logits).subspan(b * kVocabSize, kVocabSize), kHistory, 10 + b, step))
          << "row " << b << ", temperature " << options.temperature << ", top_k " << options.top_k;
    }
  }
}

std::vector<SamplingOptions> all_options() {
  std::vector<SamplingOptions> all = kOfTheLikeliest;
  all.insert(all.end(), kOfAll.begin(), kOfAll.end());
  return all;
}

TEST(BatchSampler, DrawsTheTokensOfTheSampler) {
  const std::vector<float> logits = test::normal(kNumRows * kVocabSize, 7, 3.0f);
  for (const SamplingOptions& options : all_options()) expect_same_tokens(options, logits);
}

// Rounded to whole numbers, dozens of tokens are as likely as the top_k-th.
TEST(BatchSampler, DrawsAmongTokensAsLikelyAsTheLastOfTopK) {
  std::vector<float> logits = test::normal(kNumRows * kVocabSize, 8, 1.0f);
  for (float& logit : logits) logit = std::round(logit);
  for (const SamplingOptions& options : all_options()) expect_same_tokens(options, logits);
}

// Divided by 1e9, the differences of the smallest positive numbers are 0.
TEST(BatchSampler, ScalingMayMakeDifferentLogitsEqual) {
  std::vector<float> logits(kVocabSize, 0.0f);
  for (int id = 0; id < kVocabSize; ++id) logits[id] = std::nextafter(0.0f, 1.0f) * float(id % 100);
  expect_same_tokens({.temperature = 1e9, .top_k = 40, .seed = 9}, logits);
}

TEST(BatchSampler, FewerTokensThanTopK) {
  std::vector<float> logits(kVocabSize, -INFINITY);
  for (const int id : {3, 100, 2000}) logits[id] = float(id) * 1e-3f;
  for (const SamplingOptions& options : all_options()) expect_same_tokens(options, logits);
}

TEST(BatchSampler, NoRowOfLogitsGoesToTheHostUnlessItMust) {
  const std::vector<float> logits = test::normal(kNumRows * kVocabSize, 7, 3.0f);
  const View2D<float> logits_BV = test::to_device<float>(logits, kNumRows, kVocabSize);
  const auto copied_bytes = [&](const SamplingOptions& options) {
    BatchSampler sampler(exec(), options, kNever, kVocabSize, kNumRows);
    const test::CopiedBytes copies;
    sampler.sample(logits_BV, contexts(kNumRows, 0));
    return copies.total();
  };
  for (const SamplingOptions& options : kOfTheLikeliest) {
    const int count = options.temperature == 0.0 ? 1 : options.top_k + 1;
    EXPECT_EQ(copied_bytes(options), std::int64_t(kNumRows * count * sizeof(TokenScore))) << "top_k " << options.top_k;
  }
  for (const SamplingOptions& options : kOfAll) {
    EXPECT_EQ(copied_bytes(options), std::int64_t(logits.size() * sizeof(float))) << "top_k " << options.top_k;
  }
}

// The third row has five equal largest logits, of which top_k 2 keeps all.
TEST(BatchSampler, OnlyTheRowsWithTiesGoToTheHost) {
  std::vector<float> logits = test::normal(kNumRows * kVocabSize, 7, 3.0f);
  for (const int id : {20, 30, 40, 50, 60}) logits[2 * kVocabSize + id] = 100.0f;
  const View2D<float> logits_BV = test::to_device<float>(logits, kNumRows, kVocabSize);
  BatchSampler sampler(exec(), {.temperature = 1.0, .top_k = 2}, kNever, kVocabSize, kNumRows);
  const test::CopiedBytes copies;
  sampler.sample(logits_BV, contexts(kNumRows, 0));
  EXPECT_EQ(copies.total(), std::int64_t(kNumRows * 3 * sizeof(TokenScore) + kVocabSize * sizeof(float)));
}

TEST(BatchSampler, BrokenLogitsGiveTheMessageOfTheSampler) {
  const auto message = [](const SamplingOptions& options, const std::vector<float>& logits) -> std::string {
    try {
      sample(options, logits, 0);
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  const std::string rest =
      ": the checkpoint is damaged or its dtype too narrow; try `m2-convert verify`, or model.dtype=float32";
  for (const SamplingOptions& options : all_options()) {
    std::vector<float> logits = test::normal(2 * kVocabSize, 7, 3.0f);
    logits[kVocabSize + 2000] = INFINITY;
    EXPECT_EQ(message(options, logits), "prompt 11: the largest logit after 5 tokens is inf" + rest);
    logits[kVocabSize + 2500] = -NAN;
    EXPECT_EQ(message(options, logits), "prompt 11: the largest logit after 5 tokens is nan" + rest);
    std::fill(logits.begin(), logits.end(), -INFINITY);
    EXPECT_EQ(message(options, logits), "prompt 10: the largest logit after 5 tokens is -inf" + rest);
    for (const int id : kNever) logits[id] = NAN;
    logits[kVocabSize - 3] = logits[2 * kVocabSize - 3] = 1.0f;
    EXPECT_EQ(message(options, logits), "nothing was thrown") << "what is never chosen may be broken";
  }
}

}  // namespace
}  // namespace m2
