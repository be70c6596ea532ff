// SPDX-License-Identifier: Apache-2.0
#include "kernels/moe/auxiliary_loss.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/common/math.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

struct Case {
  ScoringFunc score_func;
  int num_tokens, num_experts;
};

// sum f P in double: loads are constants.
double reference_loss(const Case& c, const std::vector<double>& logits, const std::vector<int>& offset) {
  const double num_slots = offset.back();
  double loss = 0.0;
  for (int e = 0; e < c.num_experts; ++e) {
    double probability = 0.0;
    for (int t = 0; t < c.num_tokens; ++t) {
      double sum = 0.0, own = 0.0;
      for (int j = 0; j < c.num_experts; ++j) {
        const double logit = logits[t * c.num_experts + j];
        const double score = c.score_func == ScoringFunc::sigmoid ? 1.0 / (1.0 + std::exp(-logit)) : std::exp(logit);
        sum += score;
        if (j == e) own = score;
      }
      probability += own / sum / c.num_tokens;
    }
    loss += (offset[e + 1] - offset[e]) * c.num_experts / num_slots * probability;
  }
  return loss;
}

// Loads that are not even: expert e has e % 3 rows of every `num_tokens`.
std::vector<int> offsets_of(const Case& c) {
  std::vector<int> offset{0};
  for (int e = 0; e < c.num_experts; ++e) offset.push_back(offset.back() + e % 3 * c.num_tokens);
  return offset;
}

class AuxiliaryLoss : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Shapes, AuxiliaryLoss,
                         ::testing::Values(Case{ScoringFunc::sigmoid, 5, 8}, Case{ScoringFunc::softmax, 5, 8},
                                           Case{ScoringFunc::sigmoid, 1, 19}, Case{ScoringFunc::softmax, 70, 3}));

TEST_P(AuxiliaryLoss, GradientIsThatOfCentralDifferences) {
  const Case c = GetParam();
  constexpr float kScale = 0.5f;
  const std::vector<float> logits = normal(std::int64_t(c.num_tokens) * c.num_experts, 3);
  const std::vector<int> offset = offsets_of(c);
  Workspace counter;
  AuxiliaryLossScratch(c.num_tokens, c.num_experts, counter);
  Workspace workspace(exec(), counter.peak_bytes());
  const AuxiliaryLossScratch scratch(c.num_tokens, c.num_experts, workspace);
  const std::vector<float> before = normal(std::ssize(logits), 4);
  const auto dlogits = to_device<float>(before, c.num_tokens, c.num_experts);
  View1D<double> loss("test::loss", 1);
  Kokkos::deep_copy(loss, 2.0);
  auxiliary_loss_backward(exec(), to_device<float>(logits, c.num_tokens, c.num_experts), c.score_func,
                          integers_to_device<int>(offset), kScale, scratch, dlogits, loss);

  std::vector<double> at(logits.begin(), logits.end());
  std::vector<float> expected;
  for (std::size_t i = 0; i < at.size(); ++i) {
    constexpr double kStep = 1e-5;  // the error of the difference is about kStep^2
    const double value = at[i];
    at[i] = value + kStep;
    const double above = reference_loss(c, at, offset);
    at[i] = value - kStep;
    const double below = reference_loss(c, at, offset);
    at[i] = value;
    expected.push_back(float(double(before[i]) + kScale * (above - below) / (2.0 * kStep)));
  }
  // A dozen roundings of numbers of at most 3: scores, their sum and share, the mean, products, the addition.
  EXPECT_TRUE(all_close(to_host(dlogits), expected, 12 * 3 * 0x1p-24));
  const auto total = Kokkos::create_mirror_view_and_copy(HostSpace{}, loss);
  EXPECT_NEAR(total(0), 2.0 + reference_loss(c, at, offset), 12 * 0x1p-24 * c.num_experts);
}

TEST(AuxiliaryLossShapes, Disagreeing) {
  Workspace counter;
  const AuxiliaryLossScratch scratch(2, 4, counter);
  const View2D<float> logits("test::logits", 2, 4), other("test::other", 2, 5);
  const View1D<int> offset("test::offset", 5);
  const View1D<double> loss("test::loss", 1);
  EXPECT_THROW(auxiliary_loss_backward(exec(), other, ScoringFunc::sigmoid, offset, 1.0f, scratch, logits, loss),
               Error);
  EXPECT_THROW(auxiliary_loss_backward(exec(), logits, ScoringFunc::sigmoid, View1D<int>("test::offset", 4), 1.0f,
                                       scratch, logits, loss),
               Error);
}

}  // namespace
}  // namespace m2::test
