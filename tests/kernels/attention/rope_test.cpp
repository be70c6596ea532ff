// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/rope.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/central_difference.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

struct Table {
  Table(const std::vector<int>& position, int rotary_dim, double theta, bool round_to_bf16)
      : cos_TJ("test::cos", position.size(), std::size_t(rotary_dim / 2)),
        sin_TJ("test::sin", position.size(), std::size_t(rotary_dim / 2)) {
    rope_table(exec(), integers_to_device<int>(position), rotary_dim, theta, round_to_bf16, cos_TJ, sin_TJ);
  }
  View2D<float> cos_TJ, sin_TJ;
};

TEST(RopeTable, IsExactAtTheLastPositionOfTheLongestContext) {
  const int position = 204799;  // a table from float angles would be off by 0.006 here
  const Table table({0, position}, 64, 5e6, false);
  const std::vector<float> cosine = to_host(table.cos_TJ), sine = to_host(table.sin_TJ);
  for (int j = 0; j < 32; ++j) {
    EXPECT_EQ(cosine[j], 1.0f);
    EXPECT_EQ(sine[j], 0.0f);
    const long double angle = position * std::pow(5e6L, -j / 32.0L);
    EXPECT_NEAR(cosine[32 + j], double(std::cos(angle)), 0x1p-24) << j;
    EXPECT_NEAR(sine[32 + j], double(std::sin(angle)), 0x1p-24) << j;
  }
}

TEST(RopeTable, RoundsToBf16OnRequest) {
  const std::vector<int> position{1, 77, 5000};
  const Table exact(position, 8, 1e4, false), rounded(position, 8, 1e4, true);
  std::vector<float> expected = to_host(exact.cos_TJ);
  for (float& value : expected) value = float(Bf16(value));
  EXPECT_TRUE(same_bits(to_host(rounded.cos_TJ), expected));
}

TEST(Rope, LeavesTheDimsFromRotaryDimOn) {
  const Table table({3, 4}, 4, 1e4, false);
  const std::vector<float> x = normal(2 * 2 * 7, 1);  // two tokens, two heads of seven
  const auto x_TN = to_device<float>(x, 2, 14);
  rope<float>(exec(), table.cos_TJ, table.sin_TJ, 7, false, RopeDirection::forward, x_TN);
  const std::vector<float> y = to_host(x_TN);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (i % 7 >= 4) {
      EXPECT_EQ(y[i], x[i]) << i;
    } else {
      EXPECT_NE(y[i], x[i]) << i;
    }
  }
}

TEST(Rope, RoundsEachProductInTheStorageTypeOnRequest) {
  const Table table({9}, 2, 1e4, true);
  const float cosine = to_host(table.cos_TJ)[0], sine = to_host(table.sin_TJ)[0];
  int differing = 0;
  for (int seed = 0; seed < 50; ++seed) {
    const std::vector<float> x = normal(2, seed);
    const float a = float(Bf16(x[0])), b = float(Bf16(x[1]));
    const auto peers = to_device<Bf16>(x, 1, 2), ours = to_device<Bf16>(x, 1, 2);
    rope<Bf16>(exec(), table.cos_TJ, table.sin_TJ, 2, true, RopeDirection::forward, peers);
    rope<Bf16>(exec(), table.cos_TJ, table.sin_TJ, 2, false, RopeDirection::forward, ours);
    const auto rounded = [](float value) { return float(Bf16(value)); };
    EXPECT_EQ(to_host(peers)[0], rounded(rounded(a * cosine) - rounded(b * sine)));
    EXPECT_EQ(to_host(peers)[1], rounded(rounded(b * cosine) + rounded(a * sine)));
    EXPECT_EQ(to_host(ours)[0], rounded(a * cosine - b * sine));
    differing += to_host(ours) != to_host(peers);
  }
  EXPECT_GT(differing, 0) << "the two modes must differ somewhere, or the switch does nothing";
}

// One head of two pairs and a dim that stays, in double, with element `at` of it replaced.
double weighted_sum(const std::vector<float>& x, const std::vector<float>& dout, double position, int at,
                    double value) {
  std::vector<double> head(x.begin(), x.end());
  head[std::size_t(at)] = value;
  double sum = dout[4] * head[4];
  for (int j = 0; j < 2; ++j) {
    const double angle = position * std::pow(1e4, -j / 2.0), cosine = std::cos(angle), sine = std::sin(angle);
    sum += dout[j] * (head[j] * cosine - head[j + 2] * sine) + dout[j + 2] * (head[j + 2] * cosine + head[j] * sine);
  }
  return sum;
}

TEST(Rope, BackwardIsTheGradient) {
  const Table table({3}, 4, 1e4, false);
  const std::vector<float> x = normal(5, 1), dout = normal(5, 2);
  const auto dout_TN = to_device<float>(dout, 1, 5);
  rope<float>(exec(), table.cos_TJ, table.sin_TJ, 5, false, RopeDirection::backward, dout_TN);
  std::vector<float> expected;
  for (int i = 0; i < 5; ++i) {
    expected.push_back(
        float(central_difference([&](double value) { return weighted_sum(x, dout, 3, i, value); }, x[std::size_t(i)])));
  }
  // Table, product and sum are rounded, in two terms.
  EXPECT_TRUE(all_close(to_host(dout_TN), expected, max_abs(dout) * 8 * 0x1p-24));
}

TEST(Rope, BackwardUndoesForward) {
  const Table table({5, 123456}, 64, 5e6, false);
  const std::vector<float> x = normal(2 * 128, 1);
  const auto x_TN = to_device<float>(x, 2, 128);
  rope<float>(exec(), table.cos_TJ, table.sin_TJ, 128, false, RopeDirection::forward, x_TN);
  rope<float>(exec(), table.cos_TJ, table.sin_TJ, 128, false, RopeDirection::backward, x_TN);
  // Each way rounds the table, two products and a sum of at most twice the largest number.
  EXPECT_TRUE(all_close(to_host(x_TN), x, max_abs(x) * 16 * 0x1p-24));
}

}  // namespace
}  // namespace m2::test
