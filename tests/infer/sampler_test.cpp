// SPDX-License-Identifier: Apache-2.0
#include "infer/sampler.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "core/error.hpp"
#include "support/compare.hpp"

namespace m2 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::uint64_t kIdentity = 3;

int sample(const SamplingOptions& options, const std::vector<float>& logits, const std::vector<int>& history = {},
           const std::vector<int>& never = {}, std::uint64_t step = 0) {
  return Sampler(options, never).sample(logits, history, kIdentity, step);
}

// Every token that can come out: each of the cases leaves the rarest one a probability above 0.02, which 2,000 draws
// miss with probability 0.98^2000 < 1e-17.
std::set<int> support(const SamplingOptions& options, const std::vector<float>& logits,
                      const std::vector<int>& history = {}) {
  Sampler sampler(options, {});
  std::set<int> tokens;
  for (std::uint64_t step = 0; step < 2000; ++step) tokens.insert(sampler.sample(logits, history, kIdentity, step));
  return tokens;
}

std::vector<float> log_of(std::vector<double> probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(float(std::log(p)) + 5.0f);  // softmax takes the 5 away
  return logits;
}

TEST(Sampler, GreedyTakesTheLargestAndOfEqualsTheLowest) {
  EXPECT_EQ(sample({}, {0.5f, 2.0f, -1.0f, 2.0f}), 1);
  std::vector<float> many(200'064, -1.0f);
  many[199'999] = many[77'777] = 3.0f;
  EXPECT_EQ(sample({}, many), 77'777);
}

TEST(Sampler, RowsWithoutATokenNeverComeOut) {
  EXPECT_EQ(sample({}, {0.5f, 2.0f, 9.0f}, {}, {2}), 1);
  EXPECT_EQ(sample({.temperature = 1.0, .top_k = 1}, {0.5f, 2.0f, 9.0f}, {}, {2}), 1);
  EXPECT_EQ(sample({}, {0.5f, std::numeric_limits<float>::quiet_NaN()}, {}, {1}), 0);
}

TEST(Sampler, PenaltyDividesPositiveAndMultipliesNegativeLogitsOnce) {
  const SamplingOptions options{.repetition_penalty = 2.0};
  EXPECT_EQ(sample(options, {4.0f, 1.9f}, {0, 0, 0}), 0) << "4 / 2 = 2, once for three occurrences";
  EXPECT_EQ(sample(options, {4.0f, 2.1f}, {0}), 1);
  EXPECT_EQ(sample(options, {-1.0f, -1.9f}, {0}), 1) << "-1 * 2 = -2";
  EXPECT_EQ(sample(options, {-1.0f, -2.1f}, {0}), 0);
}

TEST(Sampler, TopKKeepsTheLikeliestAndTheirEquals) {
  const auto logits = log_of({0.1, 0.3, 0.2, 0.2, 0.15, 0.05});
  EXPECT_THAT(support({.temperature = 1.0, .top_k = 1}, logits), ElementsAre(1));
  EXPECT_THAT(support({.temperature = 1.0, .top_k = 2}, logits), ElementsAre(1, 2, 3));
  EXPECT_THAT(support({.temperature = 1.0, .top_k = 4}, logits), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(support({.temperature = 1.0, .top_k = 9}, logits), ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST(Sampler, TopPKeepsATokenWhileThoseBeforeItAreLessThanP) {
  const auto logits = log_of({0.1, 0.4, 0.2, 0.3});
  EXPECT_THAT(support({.temperature = 1.0, .top_p = 0.0}, logits), ElementsAre(1));
  EXPECT_THAT(support({.temperature = 1.0, .top_p = 0.39}, logits), ElementsAre(1));
  EXPECT_THAT(support({.temperature = 1.0, .top_p = 0.41}, logits), ElementsAre(1, 3));
  EXPECT_THAT(support({.temperature = 1.0, .top_p = 0.71}, logits), ElementsAre(1, 2, 3));
  EXPECT_THAT(support({.temperature = 1.0, .top_p = 0.91}, logits), ElementsAre(0, 1, 2, 3));
}

TEST(Sampler, MinPComparesWithTheLikeliest) {
  const auto logits = log_of({0.1, 0.4, 0.2, 0.3});
  EXPECT_THAT(support({.temperature = 1.0, .min_p = 0.51}, logits), ElementsAre(1, 3));
  EXPECT_THAT(support({.temperature = 1.0, .min_p = 0.49}, logits), ElementsAre(1, 2, 3));
  EXPECT_THAT(support({.temperature = 1.0, .min_p = 1.0}, logits), ElementsAre(1));
}

TEST(Sampler, StepsComeInTheOrderOfHuggingFace) {
  const auto logits = log_of({0.5, 0.25, 0.15, 0.1});
  // Temperature 2 flattens to 0.37, 0.26, 0.20, 0.17 before top_p looks; 0.5 alone would have been enough without it.
  EXPECT_THAT(support({.temperature = 2.0, .top_p = 0.5}, logits), ElementsAre(0, 1));
  // top_k 2 leaves 0.67, 0.33 to top_p; on all four, 0.6 would keep two tokens.
  EXPECT_THAT(support({.temperature = 1.0, .top_k = 2, .top_p = 0.6}, logits), ElementsAre(0));
  // The penalty comes first: token 0 falls behind, and top_k no longer sees it.
  EXPECT_THAT(support({.temperature = 1.0, .top_k = 2, .repetition_penalty = 3.0}, logits, {0}), ElementsAre(1, 2));
}

TEST(Sampler, NucleusOfAFlatDistributionIsFound) {
  // Almost equal, so that the search must go far beyond its first guess: the likeliest token has 1.0025 times the
  // average probability and the last one 0.9975 times, and 0.9 of the whole takes between 4,480 and 4,500 tokens.
  std::vector<float> logits(5000);
  for (int token = 0; token < 5000; ++token) logits[token] = -1e-6f * float(token);
  Sampler sampler({.temperature = 1.0, .top_p = 0.9}, {});
  int largest = 0;
  for (std::uint64_t step = 0; step < 2000; ++step) {
    largest = std::max(largest, sampler.sample(logits, {}, kIdentity, step));
  }
  EXPECT_LE(largest, 4500);
  EXPECT_GT(largest, 4430) << "2,000 draws miss the last 1 % with probability 0.99^2000 < 1e-8";
}

// Pearson's statistic of 100,000 draws stays below the 1 - 1e-6 quantile of chi-square (Wilson and Hilferty 1931).
void expect_distribution(const SamplingOptions& options, const std::vector<float>& logits,
                         const std::vector<double>& probability) {
  constexpr int kDraws = 100'000;
  Sampler sampler(options, {});
  std::vector<int> counts(logits.size());
  for (int step = 0; step < kDraws; ++step) ++counts[sampler.sample(logits, {}, kIdentity, std::uint64_t(step))];
  double statistic = 0.0, freedom = -1.0;
  for (std::size_t token = 0; token < logits.size(); ++token) {
    const double expected = kDraws * probability[token];
    if (expected == 0.0) {
      EXPECT_EQ(counts[token], 0) << "token " << token;
      continue;
    }
    statistic += (counts[token] - expected) * (counts[token] - expected) / expected;
    freedom += 1.0;
  }
  const double spread = 2.0 / (9.0 * freedom);
  const double quantile = freedom * std::pow(1.0 - spread + 4.753 * std::sqrt(spread), 3.0);
  EXPECT_LT(statistic, quantile);
}

std::vector<double> softmax(const std::vector<float>& logits, double temperature) {
  std::vector<double> probability;
  for (const float logit : logits) probability.push_back(std::exp(double(logit) / temperature));
  const double total = std::accumulate(probability.begin(), probability.end(), 0.0);
  for (double& p : probability) p /= total;
  return probability;
}

// The tokens for which `keep` is true share the whole probability.
template <class Keep>
std::vector<double> restrict_to(std::vector<double> probability, const Keep& keep) {
  double total = 0.0;
  for (double& p : probability) total += p = keep(p) ? p : 0.0;
  for (double& p : probability) p /= total;
  return probability;
}

TEST(Sampler, DrawsHaveTheExactProbabilities) {
  const std::vector<float> logits = test::normal(40, 11);
  expect_distribution({.temperature = 1.0, .seed = 5}, logits, softmax(logits, 1.0));
  const std::vector<double> warm = softmax(logits, 0.7);
  expect_distribution({.temperature = 0.7, .seed = 6}, logits, warm);

  std::vector<double> sorted = warm;
  std::ranges::sort(sorted, std::greater<>());
  const double tenth = sorted[9];
  expect_distribution({.temperature = 0.7, .top_k = 10, .seed = 7}, logits,
                      restrict_to(warm, [&](double p) { return p >= tenth; }));
  const double halfway = sorted[0] + sorted[1] + 0.5 * sorted[2];  // top_p here keeps exactly three
  expect_distribution({.temperature = 0.7, .top_p = halfway, .seed = 8}, logits,
                      restrict_to(warm, [&](double p) { return p >= sorted[2]; }));
}

TEST(Sampler, AChoiceDependsOnSeedIdentityAndStepAlone) {
  const std::vector<float> logits(1000, 0.0f);
  const SamplingOptions options{.temperature = 1.0, .seed = 1};
  Sampler sampler(options, {});
  const int first = sampler.sample(logits, {}, 4, 2);
  for (int other = 0; other < 10; ++other) sampler.sample(logits, {}, 9, std::uint64_t(other));
  EXPECT_EQ(sampler.sample(logits, {}, 4, 2), first);
  std::set<int> tokens{first, sampler.sample(logits, {}, 4, 3), sampler.sample(logits, {}, 5, 2),
                       Sampler({.temperature = 1.0, .seed = 2}, {}).sample(logits, {}, 4, 2)};
  EXPECT_EQ(tokens.size(), 4u) << "another step, identity or seed draws another of 1,000 tokens";
}

TEST(Sampler, ATinyTemperatureIsGreedy) { EXPECT_EQ(sample({.temperature = 1e-60}, {80.0f, 90.0f, -90.0f}), 1); }

TEST(Sampler, RefusesBrokenLogits) {
  const auto message = [](std::vector<float> logits) -> std::string {
    try {
      sample({}, logits, {1, 2});
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_THAT(message({1.0f, std::nanf("")}), HasSubstr("prompt 3: the largest logit after 2 tokens is nan"));
  EXPECT_THAT(message({1.0f, infinity}), HasSubstr("the largest logit after 2 tokens is inf"));
  EXPECT_THAT(message({-infinity, -infinity}), HasSubstr("m2-convert verify"));
}

}  // namespace
}  // namespace m2
