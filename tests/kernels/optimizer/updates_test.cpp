// SPDX-License-Identifier: Apache-2.0
// adamw and sgd beside the same formulas in double.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.hpp"
#include "kernels/operation.hpp"
#include "kernels/optimizer/adamw.hpp"
#include "kernels/optimizer/sgd.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr int kSize = 10007;  // tiles, and elements after the last one

/// A parameter and what an optimizer keeps of it.
template <class M>
struct Arrays {
  View1D<float> p;
  View1D<M> m, v;
  View1D<std::int64_t> lost{"test::lost", 1};

  explicit Arrays(const std::vector<float>& start)
      : p(to_device<float>(start)), m("test::m", start.size()), v("test::v", start.size()) {}
};

std::vector<float> gradient_of(int step, int size = kSize) { return normal(size, 100 + std::uint64_t(step)); }

template <class M>
void run_adamw(const ExecSpace& instance, AdamWStep options, int num_steps, Arrays<M>& arrays) {
  for (int s = 1; s <= num_steps; ++s) {
    options.step = s;
    const auto gradient = to_device<float>(gradient_of(s, int(arrays.p.extent(0))));
    adamw<M>(instance, options, gradient, arrays.p, arrays.m, arrays.v, arrays.lost);
    instance.fence("test::adamw: the gradient ends here");
  }
}

std::vector<float> adamw_in_double(const AdamWStep& o, int num_steps, const std::vector<float>& start) {
  std::vector<float> out;
  std::vector<std::vector<float>> gradients;
  for (int s = 1; s <= num_steps; ++s) gradients.push_back(gradient_of(s, int(start.size())));
  for (std::size_t i = 0; i < start.size(); ++i) {
    double p = start[i], m = 0.0, v = 0.0;
    for (int s = 1; s <= num_steps; ++s) {
      const double g = o.gradient_scale * gradients[std::size_t(s - 1)][i];
      p *= 1.0 - o.learning_rate * o.weight_decay;
      m = o.beta1 * m + (1.0 - o.beta1) * g;
      v = o.beta2 * v + (1.0 - o.beta2) * g * g;
      const double m_hat = m / (1.0 - std::pow(o.beta1, s)), v_hat = v / (1.0 - std::pow(o.beta2, s));
      p -= o.learning_rate * m_hat / (std::sqrt(v_hat) + o.eps);
    }
    out.push_back(float(p));
  }
  return out;
}

// With u = 2^-24. A step rounds p twice, and factor and product once each: 4 u |p|. Its update is a product of m, which
// is off by less than 4 u of the largest |g| for each step so far (2 u of g - m, the factor, the product, the sum),
// over sqrt(v), which is at least sqrt(1 - beta2) |g| and off by 8 u of itself: with bias corrections |update| <
// lr * 5 and its error < lr * 5 * (4 steps + 12) u. (|m| / sqrt(v) <= 1 / sqrt(1 - beta2) = 4.5 at beta2 0.95.)
double adamw_tolerance(const AdamWStep& o, int num_steps, const std::vector<float>& start) {
  const double u = 0x1p-24, largest = max_abs(start) + num_steps * 5 * o.learning_rate;
  return num_steps * u * (4 * largest + 5 * o.learning_rate * (4 * num_steps + 12) / o.beta1);
}

TEST(AdamW, AgreesWithItsFormulasOverTenSteps) {
  const auto start = normal(kSize, 1);
  const AdamWStep options{.learning_rate = 0.01, .weight_decay = 0.1, .gradient_scale = 0.37};
  Arrays<float> arrays(start);
  run_adamw(exec(), options, 10, arrays);
  EXPECT_TRUE(all_close(to_host(arrays.p), adamw_in_double(options, 10, start), adamw_tolerance(options, 10, start)));
  // Ten steps without decay end elsewhere.
  AdamWStep other = options;
  other.weight_decay = 0.0;
  EXPECT_FALSE(all_close(to_host(arrays.p), adamw_in_double(other, 10, start), adamw_tolerance(options, 10, start)));
}

TEST(AdamW, WithBetasOfZeroAndEpsOneIsOneStepOfASign) {
  const auto start = normal(kSize, 1), gradient = gradient_of(1);
  Arrays<float> arrays(start);
  run_adamw(exec(), {.learning_rate = 1.0, .beta1 = 0.0, .beta2 = 0.0, .eps = 1.0}, 1, arrays);
  std::vector<float> expected;
  for (int i = 0; i < kSize; ++i) {
    const double g = gradient[std::size_t(i)];
    expected.push_back(float(start[std::size_t(i)] - g / (std::abs(g) + 1.0)));
  }
  EXPECT_TRUE(all_close(to_host(arrays.p), expected, 1e-6));  // numbers below 5: four roundings of 5 * 2^-24
}

TEST(AdamW, ALearningRateOfZeroKeepsEveryBit) {
  const auto start = normal(kSize, 1);
  Arrays<float> arrays(start);
  run_adamw(exec(), {.learning_rate = 0.0, .weight_decay = 0.1}, 3, arrays);
  EXPECT_TRUE(same_bits(to_host(arrays.p), start));
  EXPECT_EQ(to_host_as_is(arrays.lost)[0], 0);
}

template <class M>
void expect_same_bits_with_threads() {
  const auto start = normal(kSize, 1);
  const AdamWStep options{.weight_decay = 0.1, .rounding = {.seed = 9, .stream = 4}};
  Arrays<M> one(start), two(start);
  run_adamw(with_threads(1), options, 3, one);
  run_adamw(with_threads(2), options, 3, two);
  EXPECT_TRUE(same_bits(to_host(one.p), to_host(two.p)));
  EXPECT_TRUE(same_bits(to_host(one.m), to_host(two.m)));
  EXPECT_TRUE(same_bits(to_host(one.v), to_host(two.v)));
  EXPECT_EQ(to_host_as_is(one.lost)[0], to_host_as_is(two.lost)[0]);
}

TEST(AdamW, OneAndTwoThreadsGiveTheSameBits) {
  expect_same_bits_with_threads<float>();
  expect_same_bits_with_threads<Bf16>();
}

TEST(AdamW, ElementsAfterTheLastTileAreRoundedAsInATile) {
  const auto start = normal(kSize, 1);
  const std::vector<float> head(start.begin(), start.begin() + 67);
  const AdamWStep options{.rounding = {.seed = 9}};
  Arrays<Bf16> all(start), few(head);
  run_adamw(exec(), options, 1, all);
  const auto gradient = gradient_of(1);
  adamw<Bf16>(exec(), options, to_device<float>(std::span(gradient).first(67)), few.p, few.m, few.v);
  exec().fence("test::adamw");
  const auto m = to_host(all.m), v = to_host(all.v);
  EXPECT_TRUE(same_bits(to_host(few.m), std::span(m).first(67)));
  EXPECT_TRUE(same_bits(to_host(few.v), std::span(v).first(67)));
}

// All gradients are one number g: m = (1 - beta1) g = 0.1 g lies between two bfloat16 numbers, d apart, at the share f
// of the way. The mean of n roundings has the deviation d sqrt(f (1 - f) / n) < d / (2 sqrt(n)); six of them.
TEST(AdamW, StochasticRoundingIsUnbiased) {
  constexpr int kMany = 1 << 20;
  const View1D<float> g("test::g", kMany), p("test::p", kMany);
  const View1D<Bf16> m("test::m", kMany), v("test::v", kMany);
  Kokkos::deep_copy(g, 1.2345f);
  adamw<Bf16>(exec(), {.rounding = {.seed = 11}}, g, p, m, v);
  const auto check = [](const std::vector<float>& values, double exact, double spacing) {
    double sum = 0.0;
    for (const float value : values) {
      sum += value;
      ASSERT_LT(std::abs(value - exact), spacing);
    }
    EXPECT_NEAR(sum / kMany, exact, 6 * spacing / (2 * std::sqrt(double(kMany))));
    EXPECT_NE(*std::ranges::max_element(values), *std::ranges::min_element(values));
  };
  check(to_host(m), 0.1 * 1.2345, 0x1p-4 / 128);            // within [2^-4, 2^-3): 7 bits of fraction
  check(to_host(v), 0.05 * 1.2345 * 1.2345, 0x1p-4 / 128);  // 0.0762
}

TEST(AdamW, RoundingDependsOnSeedStreamAndStep) {
  const auto start = normal(kSize, 1);
  const auto moment = [&](RandomStream rounding, std::int64_t step) {
    Arrays<Bf16> arrays(start);
    adamw<Bf16>(exec(), {.step = step, .rounding = rounding}, to_device<float>(gradient_of(1)), arrays.p, arrays.m,
                arrays.v);
    exec().fence("test::adamw");
    return to_host(arrays.m);
  };
  const auto base = moment({.seed = 1, .stream = 0}, 1);
  EXPECT_TRUE(same_bits(moment({.seed = 1, .stream = 0}, 1), base));
  EXPECT_FALSE(same_bits(moment({.seed = 2, .stream = 0}, 1), base));
  EXPECT_FALSE(same_bits(moment({.seed = 1, .stream = 1}, 1), base));
  EXPECT_FALSE(same_bits(moment({.seed = 1, .stream = 0}, 2), base));
}

TEST(AdamW, CountsUpdatesThatBfloat16DoesNotShow) {
  const auto start = rounded<Bf16>(normal(kSize, 1));
  Arrays<float> arrays(start);
  run_adamw(exec(), {.learning_rate = 1e-3}, 1, arrays);
  const auto after = to_host(arrays.p);
  std::int64_t expected = 0;
  for (std::size_t i = 0; i < start.size(); ++i)
    expected += start[i] != after[i] && Bf16(start[i]).bits == Bf16(after[i]).bits;
  EXPECT_EQ(to_host_as_is(arrays.lost)[0], expected);
  EXPECT_GT(expected, kSize / 4);  // half a spacing is 2^-9 |p|: most |p| above 0.5 hide a step of 1e-3
  EXPECT_LT(expected, kSize);
}

TEST(AdamW, RefusesWhatDoesNotFit) {
  Arrays<float> arrays(normal(8, 1));
  const auto gradient = to_device<float>(normal(7, 1));
  EXPECT_THAT([&] { adamw<float>(exec(), {}, gradient, arrays.p, arrays.m, arrays.v); },
              ThrowsMessage<Error>(HasSubstr("elements of gradient (7) and elements of master (8) must agree")));
  EXPECT_THAT([&] { adamw<float>(exec(), {.step = 0}, arrays.p, arrays.p, arrays.m, arrays.v); },
              ThrowsMessage<Error>(HasSubstr("step is 0; updates are counted from 1")));
}

template <class M>
void run_sgd(const ExecSpace& instance, SgdStep options, int num_steps, Arrays<M>& arrays) {
  for (int s = 1; s <= num_steps; ++s) {
    options.step = s;
    const auto gradient = to_device<float>(gradient_of(s));
    sgd<M>(instance, options, gradient, arrays.p, arrays.m, arrays.lost);
    instance.fence("test::sgd: the gradient ends here");
  }
}

TEST(Sgd, AgreesWithItsFormulasOverTenSteps) {
  const auto start = normal(kSize, 1);
  const SgdStep options{.learning_rate = 0.01, .weight_decay = 0.1, .gradient_scale = 0.37};
  Arrays<float> arrays(start);
  run_sgd(exec(), options, 10, arrays);
  std::vector<double> p(start.begin(), start.end()), b(start.size());
  double largest_b = 0.0;
  for (int s = 1; s <= 10; ++s) {
    const auto gradient = gradient_of(s);
    for (std::size_t i = 0; i < p.size(); ++i) {
      b[i] = options.momentum * b[i] + options.gradient_scale * gradient[i];
      p[i] = p[i] * (1.0 - options.learning_rate * options.weight_decay) - options.learning_rate * b[i];
      largest_b = std::max(largest_b, std::abs(b[i]));
    }
  }
  // A step rounds p, p's factor and their product, and the update: 4 u |p|; b is off by 5 u for each step so far.
  const double u = 0x1p-24, tolerance = 10 * u * (4 * (max_abs(start) + 0.1 * largest_b) + 0.01 * 5 * 10 * largest_b);
  EXPECT_TRUE(all_close(to_host(arrays.p), std::vector<float>(p.begin(), p.end()), tolerance));
}

TEST(Sgd, ALearningRateOfZeroKeepsEveryBit) {
  const auto start = normal(kSize, 1);
  Arrays<float> arrays(start);
  run_sgd(exec(), {.learning_rate = 0.0, .weight_decay = 0.1}, 2, arrays);
  EXPECT_TRUE(same_bits(to_host(arrays.p), start));
}

TEST(Sgd, OneAndTwoThreadsGiveTheSameBitsAndMomentumIsRounded) {
  const auto start = normal(kSize, 1);
  const SgdStep options{.rounding = {.seed = 9}};
  Arrays<Bf16> one(start), two(start);
  run_sgd(with_threads(1), options, 3, one);
  run_sgd(with_threads(2), options, 3, two);
  EXPECT_TRUE(same_bits(to_host(one.p), to_host(two.p)));
  EXPECT_TRUE(same_bits(to_host(one.m), to_host(two.m)));
  Arrays<float> exact(start);
  run_sgd(exec(), options, 3, exact);
  EXPECT_FALSE(same_bits(to_host(one.m), to_host(exact.m)));
  // Each of three roundings is off by less than a spacing, 2^-7 of a number below 8, and so is p by the rate's share.
  EXPECT_TRUE(all_close(to_host(one.m), to_host(exact.m), 3 * 8 * 0x1p-7));
}

}  // namespace
}  // namespace m2::test
