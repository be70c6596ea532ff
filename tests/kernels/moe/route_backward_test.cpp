// SPDX-License-Identifier: Apache-2.0
// What the case table leaves out of the router's gradient: numbers of experts, rounding, and the ends of float.
#include <gmock/gmock.h>

#include "core/error.hpp"
#include "kernels/moe/route_backward_operation.hpp"

namespace m2::test {
namespace {

std::vector<float> gradient_of_one(const std::vector<float>& logits, const RouterOptions& options,
                                   const std::vector<int>& expert, const std::vector<float>& dweight) {
  const View2D<int> expert_TK("test::expert", 1, expert.size());
  const auto host = Kokkos::create_mirror_view(expert_TK);
  std::ranges::copy(expert, host.data());
  Kokkos::deep_copy(expert_TK, host);
  const View2D<float> dlogits_TE = filled<float>(1, std::int64_t(logits.size()), NAN);
  route_backward(exec(), to_device<float>(logits, 1, std::int64_t(logits.size())), options, View1D<std::uint8_t>(),
                 expert_TK, to_device<float>(dweight, 1, std::int64_t(dweight.size())), dlogits_TE);
  return to_host(dlogits_TE);
}

template <ScoringFunc kScore, bool kNormalize>
void expect_central_differences(int top_k, int num_experts) {
  const RouteBackwardOp<kScore, kNormalize> op({7, num_experts}, top_k);
  op.run(exec());
  EXPECT_TRUE(all_close(op.actual(), op.expected(), op.tolerance())) << top_k << " of " << num_experts;
}

TEST(RouteBackward, AgreesForOneExpertAndForAll) {
  for (const auto& [top_k, num_experts] : {std::pair(1, 1), std::pair(1, 9), std::pair(7, 7)}) {
    expect_central_differences<ScoringFunc::sigmoid, true>(top_k, num_experts);
    expect_central_differences<ScoringFunc::sigmoid, false>(top_k, num_experts);
    expect_central_differences<ScoringFunc::softmax, true>(top_k, num_experts);
    expect_central_differences<ScoringFunc::softmax, false>(top_k, num_experts);
  }
}

TEST(RouteBackward, OfOneNormalisedExpertIsZero) {
  EXPECT_THAT(gradient_of_one({1.5f, -0.3f}, {}, {0}, {4.0f}), ::testing::ElementsAre(0, 0));
}

TEST(RouteBackward, LeavesExpertsAloneThatSigmoidDidNotChoose) {
  const std::vector<float> sigmoid = gradient_of_one({0.1f, 0.2f, 0.3f}, {}, {2, 0}, {1, -1});
  EXPECT_EQ(sigmoid[1], 0.0f);
  EXPECT_NE(sigmoid[0], 0.0f);
  EXPECT_NE(sigmoid[2], 0.0f);
  const RouterOptions softmax{.score_func = ScoringFunc::softmax, .normalize = false};
  EXPECT_NE(gradient_of_one({0.1f, 0.2f, 0.3f}, softmax, {2, 0}, {1, 1})[1], 0.0f);
}

TEST(RouteBackward, RoundsScoresAsTheForwardDoes) {
  const auto rounded = [](float value) { return float(Bf16(value)); };
  const std::vector<float> logits{0.3f, -0.7f, 1.234567f};
  const RouterOptions options{.normalize = false, .route_scale = 3.0f, .round_to_bf16 = true};
  const std::vector<float> dlogits = gradient_of_one(logits, options, {2, 0}, {0.5f, -1.25f});
  const auto expected = [&](float logit, float dweight) {
    const float score = rounded(1.0f / (1.0f + std::exp(-rounded(logit))));
    return 3.0f * dweight * score * (1.0f - score);
  };
  EXPECT_THAT(dlogits, ::testing::ElementsAre(expected(logits[0], -1.25f), 0.0f, expected(logits[2], 0.5f)));
  EXPECT_NE(dlogits, gradient_of_one(logits, {.normalize = false, .route_scale = 3.0f}, {2, 0}, {0.5f, -1.25f}));
}

TEST(RouteBackward, SurvivesScoresThatUnderflow) {
  EXPECT_THAT(gradient_of_one({-200, -200, -200}, {}, {0, 1}, {1, 2}), ::testing::ElementsAre(0, 0, 0));
  EXPECT_THAT(gradient_of_one({-200, 0, 200}, {.score_func = ScoringFunc::softmax}, {2, 1}, {1, 2}),
              ::testing::ElementsAre(0, 0, 0));
}

TEST(RouteBackward, NamesWhatDoesNotFit) {
  const auto call = [](int top_k, int skips, int dlogits_columns, int expert_rows) {
    route_backward(exec(), View2D<float>("test::logits", 2, 8), {}, View1D<std::uint8_t>("test::skip", skips),
                   View2D<int>("test::expert", expert_rows, top_k), View2D<float>("test::dweight", expert_rows, 3),
                   View2D<float>("test::dlogits", 2, dlogits_columns));
  };
  using ::testing::StrEq;
  const auto says = [](const char* message) { return ::testing::ThrowsMessage<Error>(StrEq(message)); };
  EXPECT_THAT([&] { call(4, 2, 8, 2); },
              says("route_backward: expert_TK (2 x 4) and weight_TK (2 x 3) must have one shape"));
  EXPECT_THAT([&] { call(3, 1, 8, 2); },
              says("route_backward: elements of skip_T (1) and rows of logits_TE (2) must agree"));
  EXPECT_THAT([&] { call(3, 2, 7, 2); },
              says("route_backward: logits_TE (2 x 8) and dlogits_TE (2 x 7) must have one shape"));
  EXPECT_THAT([&] { call(3, 0, 8, 3); },
              says("route_backward: rows of logits_TE (2) and rows of expert_TK (3) must agree"));
}

}  // namespace
}  // namespace m2::test
