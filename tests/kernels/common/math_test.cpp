// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/math.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/common/rows.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

std::vector<float> exponentials(const std::vector<float>& x) {
  const View2D<float> out = to_device<float>(x, 1, std::int64_t(x.size()));
  const int count = int(x.size());
  Kokkos::parallel_for(
      "test::exponential", row_policy(exec(), 1), KOKKOS_LAMBDA(const RowMember& team) {
        float* values = row(out, 0);
        row_store(team, count, values, [=](int i) { return exponential(values[i]); });
      });
  return to_host(out);
}

int index_of_largest(const View2D<float>& row_1N) {
  const View1D<int> index("test::index", 1);
  const int count = row_1N.extent_int(1);
  Kokkos::parallel_for(
      "test::largest", row_policy(exec(), 1), KOKKOS_LAMBDA(const RowMember& team) {
        index(0) = row_largest(team, count, [=](int i) { return row_1N(0, i); }).index;
      });
  return to_host_as_is(index)[0];
}

// Without a fused multiply-add the last product, 0.41 at most, is rounded by itself: 2^-26, a quarter of a unit of
// results below 1. The product before it adds less than that.
#ifdef __FP_FAST_FMAF
constexpr double kWorstUnits = 1.0;
#else
constexpr double kWorstUnits = 1.5;
#endif

TEST(Exponential, IsWithinAUnitInTheLastPlace) {
  std::vector<float> x;
  for (float value = -87.0f; value < 88.7f; value += 0.000731f) x.push_back(value);
  const std::vector<float> y = exponentials(x);
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double exact = std::exp(double(x[i]));
    const double unit = std::ldexp(1.0, std::ilogb(exact) - 23);
    worst = std::max(worst, std::abs(y[i] - exact) / unit);
  }
  EXPECT_LE(worst, kWorstUnits);
}

TEST(Exponential, MeetsTheEndsOfTheRange) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> y =
      exponentials({0.0f, -0.0f, -infinity, infinity, 100.0f, -104.0f, 88.72f, -103.0f, -1e30f});
  EXPECT_EQ(y[0], 1.0f);
  EXPECT_EQ(y[1], 1.0f);
  EXPECT_EQ(y[2], 0.0f);
  EXPECT_EQ(y[3], infinity);
  EXPECT_EQ(y[4], infinity);
  EXPECT_EQ(y[5], 0.0f);
  EXPECT_NEAR(y[6] / std::exp(double(88.72f)), 1.0, 0x1p-23);
  EXPECT_EQ(y[7], std::numeric_limits<float>::denorm_min());
  EXPECT_EQ(y[8], 0.0f);
  EXPECT_TRUE(std::isnan(exponentials({std::numeric_limits<float>::quiet_NaN()})[0]));
}

TEST(Exponential, HasTheSameBitsInAFullTileAndInARest) {
  const std::vector<float> x = normal(100, 1, 20.0f);
  const std::vector<float> together = exponentials(x);
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(exponentials({x[i]})[0], together[i]) << x[i];
}

TEST(Silu, OfLargeNumbersIsTheNumberOrZero) {
  EXPECT_EQ(silu(200.0f), 200.0f);
  EXPECT_EQ(silu(-200.0f), 0.0f);
  EXPECT_EQ(sigmoid(-200.0f), 0.0f);
  EXPECT_EQ(sigmoid(0.0f), 0.5f);
}

TEST(RowLargest, TakesTheLowestIndexAmongEqualsAndNeverNaN) {
  for (const int at : {0, 5, 16, 40, 99}) {
    std::vector<float> values(100, -1.0f);
    values[at] = values[99] = 7.0f;
    values[3] = values[98] = NAN;
    EXPECT_EQ(index_of_largest(to_device<float>(values, 1, 100)), at);
  }
}

}  // namespace
}  // namespace m2::test
