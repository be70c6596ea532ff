// SPDX-License-Identifier: Apache-2.0
#include "kernels/optimizer/sum_of_squares.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/error.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

double sum_on(const ExecSpace& instance, const std::vector<float>& values) {
  const auto values_D = to_device<float>(values);
  const View1D<double> block_sum("test::blocks", num_square_blocks(std::int64_t(values.size())));
  const View1D<double> total("test::total", 1);
  sum_of_squares(instance, values_D, block_sum, total);
  return to_host_as_is(total)[0];
}

// The sum of positive numbers in double: each of fewer than n additions is off by 2^-53 of the sum at most.
TEST(SumOfSquares, AgreesWithALoopInDouble) {
  for (const int size : {0, 1, 63, 64, 1000, 65536, 65537, 200001}) {
    const auto values = normal(size, 5);
    double expected = 0.0;
    for (const float value : values) expected += double(value) * value;
    EXPECT_NEAR(sum_on(exec(), values), expected, 2 * size * 0x1p-53 * expected) << size;
  }
}

TEST(SumOfSquares, FiniteFloatsNeverOverflowAndSmallOnesCount) {
  const float most = std::numeric_limits<float>::max(), least = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(sum_on(exec(), {most, most}), 2.0 * most * double(most));
  EXPECT_EQ(sum_on(exec(), {least, 0.0f}), double(least) * least);
}

TEST(SumOfSquares, KeepsInfinityAndNaN) {
  auto values = normal(70000, 6);
  values[69999] = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(sum_on(exec(), values), std::numeric_limits<double>::infinity());
  values[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(sum_on(exec(), values)));
}

TEST(SumOfSquares, OneAndTwoThreadsGiveTheSameBits) {
  const auto values = normal(300001, 7);
  EXPECT_EQ(sum_on(with_threads(1), values), sum_on(with_threads(2), values));
}

TEST(SumOfSquares, RefusesTooLittleWorkingMemory) {
  const View1D<float> values("test::values", 65537);
  const View1D<double> one("test::one", 1), none;
  EXPECT_THAT([&] { sum_of_squares(exec(), values, one, one); },
              ThrowsMessage<Error>(HasSubstr("block_sum has 1 elements, 2 are needed for 65537 values")));
  EXPECT_THAT([&] { sum_of_squares(exec(), values, one, none); }, ThrowsMessage<Error>(HasSubstr("total (0)")));
}

}  // namespace
}  // namespace m2::test
