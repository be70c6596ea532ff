// SPDX-License-Identifier: Apache-2.0
#include "train/expert_spread.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace m2::test {
namespace {

TEST(ExpertSpread, OfEvenLoads) {
  const ExpertSpread spread = expert_spread(std::array<std::int64_t, 4>{7, 7, 7, 7});
  EXPECT_EQ(spread.cv, 0.0);
  EXPECT_EQ(spread.p50, 1.0);
  EXPECT_EQ(spread.p95, 1.0);
  EXPECT_EQ(spread.dead_fraction, 0.0);
  EXPECT_NEAR(spread.entropy, 1.0, 1e-15);
}

TEST(ExpertSpread, OfUnevenLoads) {
  const ExpertSpread spread = expert_spread(std::array<std::int64_t, 4>{0, 2, 6, 8});
  EXPECT_NEAR(spread.cv, std::sqrt((16.0 + 4.0 + 4.0 + 16.0) / 4.0) / 4.0, 1e-15);
  EXPECT_EQ(spread.p50, 0.5);
  EXPECT_EQ(spread.p95, 2.0);
  EXPECT_EQ(spread.dead_fraction, 0.25);
  const double entropy = -(0.125 * std::log(0.125) + 0.375 * std::log(0.375) + 0.5 * std::log(0.5));
  EXPECT_NEAR(spread.entropy, entropy / std::log(4.0), 1e-15);
}

TEST(ExpertSpread, OfNothing) { EXPECT_EQ(expert_spread(std::array<std::int64_t, 2>{0, 0}).entropy, 0.0); }

}  // namespace
}  // namespace m2::test
