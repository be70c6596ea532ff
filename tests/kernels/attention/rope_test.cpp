// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/rope.hpp"

#include <gtest/gtest.h>

#include <cmath>

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
  rope<float>(exec(), table.cos_TJ, table.sin_TJ, 7, false, x_TN);
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
    rope<Bf16>(exec(), table.cos_TJ, table.sin_TJ, 2, true, peers);
    rope<Bf16>(exec(), table.cos_TJ, table.sin_TJ, 2, false, ours);
    const auto rounded = [](float value) { return float(Bf16(value)); };
    EXPECT_EQ(to_host(peers)[0], rounded(rounded(a * cosine) - rounded(b * sine)));
    EXPECT_EQ(to_host(peers)[1], rounded(rounded(b * cosine) + rounded(a * sine)));
    EXPECT_EQ(to_host(ours)[0], rounded(a * cosine - b * sine));
    differing += to_host(ours) != to_host(peers);
  }
  EXPECT_GT(differing, 0) << "the two modes must differ somewhere, or the switch does nothing";
}

}  // namespace
}  // namespace m2::test
