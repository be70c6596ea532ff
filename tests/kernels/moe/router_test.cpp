// SPDX-License-Identifier: Apache-2.0
#include "kernels/moe/router.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <set>

#include "support/compare.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

using ::testing::ElementsAre;

struct Routed {
  std::vector<int> expert;
  std::vector<float> weight;
};

Routed route_one(const std::vector<float>& logits, const std::vector<float>& bias, int top_k,
                 const RouterOptions& options) {
  const View2D<int> expert_TK("test::expert", 1, top_k);
  const View2D<float> weight_TK("test::weight", 1, top_k);
  route(exec(), to_device<float>(logits, 1, std::int64_t(logits.size())), to_device<float>(bias), options, expert_TK,
        weight_TK);
  return {to_host_as_is(expert_TK), to_host(weight_TK)};
}

TEST(Route, BreaksTiesByTheLowestIndex) {
  EXPECT_THAT(route_one(std::vector<float>(40, 0.25f), {}, 5, {}).expert, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(route_one({1, 3, 2, 3, 2, 2}, {}, 4, {}).expert, ElementsAre(1, 3, 2, 4));
}

TEST(Route, UsesTheBiasForTheChoiceOnly) {
  const Routed result = route_one({0, 0, 0, 0}, {0, 5, -1, 1}, 2, {.normalize = false});
  EXPECT_THAT(result.expert, ElementsAre(1, 3));
  EXPECT_THAT(result.weight, ElementsAre(0.5f, 0.5f));
}

TEST(Route, NormalisesAndScales) {
  const Routed result = route_one({0, 0, -50}, {}, 2, {.normalize = true, .route_scale = 3.0f});
  EXPECT_THAT(result.weight, ElementsAre(1.5f, 1.5f));
}

TEST(Route, WeightsSumToOne) {
  const Routed result = route_one(normal(256, 1), {}, 8, {});
  double sum = 0;
  for (const float weight : result.weight) sum += weight;
  EXPECT_NEAR(sum, 1.0, 16 * 0x1p-24);
}

TEST(Route, GivesDistinctExpertsForNaNAndInfinity) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  EXPECT_THAT(route_one({nan, nan, 1, nan}, {}, 3, {}).expert, ElementsAre(2, 0, 1));
  EXPECT_THAT(route_one({0, 0, 0}, {-infinity, 0, -infinity}, 3, {}).expert, ElementsAre(1, 0, 2));
  EXPECT_TRUE(std::isnan(route_one({nan, nan}, {}, 1, {.normalize = false}).weight[0]));
}

TEST(Route, SurvivesScoresThatUnderflow) {
  EXPECT_THAT(route_one({-200, -200, -200}, {}, 2, {}).weight, ElementsAre(0.0f, 0.0f));
}

TEST(Route, RoundsEachStepToBf16OnRequest) {
  const auto rounded = [](float value) { return float(Bf16(value)); };
  const std::vector<float> logits{0.3f, -0.7f, 1.234567f};
  std::vector<float> score;
  for (const float logit : logits) score.push_back(rounded(1.0f / (1.0f + std::exp(-rounded(logit)))));
  const float total = rounded(score[2] + score[0]);
  const Routed result = route_one(logits, {}, 2, {.round_to_bf16 = true});
  EXPECT_THAT(result.expert, ElementsAre(2, 0));
  EXPECT_THAT(result.weight, ElementsAre(rounded(score[2] / total), rounded(score[0] / total)));
}

Routed balanced(std::int64_t first_slot, int num_tokens, int num_experts, int top_k, float noise,
                std::uint64_t seed = 1) {
  const View2D<int> expert_TK("test::expert", num_tokens, top_k);
  const View2D<float> weight_TK("test::weight", num_tokens, top_k);
  route_balanced(exec(), first_slot, num_experts, noise, seed, expert_TK, weight_TK);
  return {to_host_as_is(expert_TK), to_host(weight_TK)};
}

TEST(RouteBalanced, DealsTheExpertsInTurn) {
  const Routed result = balanced(5, 3, 7, 2, 0.0f);
  EXPECT_THAT(result.expert, ElementsAre(5, 6, 0, 1, 2, 3));
  EXPECT_THAT(result.weight, ::testing::Each(0.5f));
  EXPECT_EQ(balanced((std::int64_t(1) << 33) + 1, 1, 8, 1, 0.0f).expert[0], 1);
}

TEST(RouteBalanced, WithNoiseIsUnevenButReproducible) {
  const Routed all = balanced(0, 500, 64, 8, 0.5f), again = balanced(0, 500, 64, 8, 0.5f);
  EXPECT_EQ(all.expert, again.expert);
  EXPECT_EQ(all.weight, again.weight);
  EXPECT_NE(all.expert, balanced(0, 500, 64, 8, 0.5f, 2).expert);
  std::vector<int> load(64);
  for (std::size_t t = 0; t < 500; ++t) {
    std::set<int> distinct(&all.expert[8 * t], &all.expert[8 * t] + 8);
    ASSERT_EQ(distinct.size(), 8u);
    double sum = 0;
    for (int k = 0; k < 8; ++k) sum += all.weight[8 * t + k];
    ASSERT_NEAR(sum, 1.0, 32 * 0x1p-24);
    for (const int expert : distinct) ++load.at(expert);
  }
  EXPECT_GT(*std::ranges::max_element(load), *std::ranges::min_element(load) + 10) << "62.5 each if even";
}

TEST(RouteBalanced, WithNoiseDependsOnTheTokenNotOnTheChunk) {
  const Routed all = balanced(0, 20, 16, 4, 0.3f), rest = balanced(13 * 4, 7, 16, 4, 0.3f);
  EXPECT_THAT(rest.expert, ::testing::ElementsAreArray(all.expert.begin() + 13 * 4, all.expert.end()));
  EXPECT_THAT(rest.weight, ::testing::ElementsAreArray(all.weight.begin() + 13 * 4, all.weight.end()));
}

}  // namespace
}  // namespace m2::test
