// SPDX-License-Identifier: Apache-2.0
#include "train/schedule.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/error.hpp"

namespace m2::test {
namespace {

using ::testing::DoubleNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;
using ::testing::ThrowsMessage;

std::vector<double> factors(const ScheduleSection& schedule, int num_steps) {
  std::vector<double> out;
  for (int step = 1; step <= num_steps; ++step) out.push_back(learning_rate_factor(schedule, step, num_steps));
  return out;
}

/// A handful of operations in double on numbers up to 1.
MATCHER_P(Are, expected, "") {
  return ::testing::ExplainMatchResult(Pointwise(DoubleNear(1e-14), std::vector<double>(expected)), arg,
                                       result_listener);
}

using Row = std::vector<double>;

TEST(Schedule, WarmsUpThenFollowsItsFormula) {
  const double c = std::sqrt(0.5);  // cos(pi / 4)
  EXPECT_THAT(factors({.name = ScheduleName::constant, .warmup_steps = 2, .decay_steps = {}}, 6),
              Are(Row{0.5, 1, 1, 1, 1, 1}));
  EXPECT_THAT(factors({.name = ScheduleName::linear, .warmup_steps = 2, .min_ratio = 0.2, .decay_steps = {}}, 6),
              Are(Row{0.5, 1, 0.8, 0.6, 0.4, 0.2}));
  EXPECT_THAT(factors({.name = ScheduleName::cosine, .warmup_steps = 2, .min_ratio = 0.2, .decay_steps = {}}, 6),
              Are(Row{0.5, 1, 0.2 + 0.4 * (1 + c), 0.6, 0.2 + 0.4 * (1 - c), 0.2}));
  EXPECT_THAT(factors({.name = ScheduleName::inverse_sqrt, .warmup_steps = 4, .decay_steps = {}}, 16)[15],
              DoubleNear(0.5, 1e-14));
  EXPECT_THAT(factors({.name = ScheduleName::inverse_sqrt, .decay_steps = {}}, 4),
              Are(Row{1, std::sqrt(1.0 / 2), std::sqrt(1.0 / 3), 0.5}));
}

TEST(Schedule, WithoutWarmUpTheFirstStepIsPartOfTheFall) {
  EXPECT_THAT(factors({.name = ScheduleName::linear, .min_ratio = 0.0, .decay_steps = {}}, 4),
              Are(Row{0.75, 0.5, 0.25, 0}));
}

TEST(Schedule, WsdFallsAtItsEndInEachShape) {
  const double c = std::sqrt(0.5), r = 0.1;
  const auto wsd = [&](DecayShape decay) {
    return factors({.name = ScheduleName::wsd, .warmup_steps = 1, .min_ratio = r, .decay_steps = 4, .decay = decay}, 7);
  };
  const auto expected = [&](double quarter, double half, double three_quarters) {
    return Row{1, 1, 1, r + 0.9 * quarter, r + 0.9 * half, r + 0.9 * three_quarters, r};
  };
  EXPECT_THAT(wsd(DecayShape::linear), Are(expected(0.75, 0.5, 0.25)));
  EXPECT_THAT(wsd(DecayShape::cosine), Are(expected((1 + c) / 2, 0.5, (1 - c) / 2)));
  EXPECT_THAT(wsd(DecayShape::exponential),
              Are(expected(2 * std::pow(0.5, 0.25) - 1, 2 * std::pow(0.5, 0.5) - 1, 2 * std::pow(0.5, 0.75) - 1)));
  EXPECT_THAT(wsd(DecayShape::minus_sqrt), Are(expected(0.5, 1 - c, 1 - std::sqrt(0.75))));
}

TEST(Schedule, WsdFallsOverATenthUnlessTold) {
  const auto all = factors({.name = ScheduleName::wsd, .min_ratio = 0.0, .decay_steps = {}}, 20);
  EXPECT_EQ(all[17], 1.0);
  EXPECT_EQ(all[18], 0.5);
  EXPECT_EQ(all[19], 0.0);
  EXPECT_THAT(factors({.name = ScheduleName::wsd, .min_ratio = 0.0, .decay_steps = {}}, 3), Are(Row{1, 1, 0}));
  // The fall never begins before the warm-up has ended.
  EXPECT_THAT(factors({.name = ScheduleName::wsd, .warmup_steps = 2, .min_ratio = 0.0, .decay_steps = 100}, 4),
              Are(Row{0.5, 1, 0.5, 0}));
}

TEST(Schedule, WarmUpMayTakeAllSteps) {
  for (const ScheduleName name : {ScheduleName::constant, ScheduleName::linear, ScheduleName::cosine,
                                  ScheduleName::inverse_sqrt, ScheduleName::wsd}) {
    EXPECT_THAT(factors({.name = name, .warmup_steps = 4, .decay_steps = {}}, 3), Are(Row{0.25, 0.5, 0.75}));
    EXPECT_THAT(factors({.name = name, .warmup_steps = 2, .decay_steps = {}}, 2), Are(Row{0.5, 1}));
  }
}

TEST(Schedule, RefusesStepsThatAreNotThere) {
  EXPECT_THAT([] { learning_rate_factor({}, 0, 5); }, ThrowsMessage<Error>(HasSubstr("step 0 was asked for")));
  EXPECT_THAT([] { learning_rate_factor({}, 6, 5); }, ThrowsMessage<Error>(HasSubstr("there are 1 to 5")));
}

}  // namespace
}  // namespace m2::test
