// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/attention_backward.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernels/attention/attention_backward_operation.hpp"
#include "kernels/attention/attention_backward_variants.hpp"
#include "kernels/attention/attention_variants.hpp"
#include "kernels/common/rows.hpp"

namespace m2::test {
namespace {

const std::vector<int> kLengths{1, 63, 64, 65, 130};

// The sum of dout * out, whose gradient backward() is.
double objective(ExactAttention of) {
  of.forward();
  double sum = 0;
  for (std::size_t i = 0; i < of.out.size(); ++i) sum += of.dout[i] * of.out[i];
  return sum;
}

// Numbers are of the order of 1: a central difference is off by about kStep^2 = 1e-8 by its own truncation, and by
// 1e-16 / kStep by rounding.
TEST(ExactAttention, HasTheGradientsOfCentralDifferences) {
  constexpr double kStep = 1e-4, kTolerance = 1e-6;
  ExactAttention of{.num_heads = 4, .num_kv_heads = 2, .head_size = 3, .scale = 0.7, .begin = {0, 3, 4, 6}};
  const auto fill = [](std::size_t count, std::uint64_t seed) {
    const std::vector<float> from = normal(std::int64_t(count), seed);
    return std::vector<double>(from.begin(), from.end());
  };
  of.q = fill(6 * 4 * 3, 1), of.dout = fill(6 * 4 * 3, 2), of.k = fill(6 * 2 * 3, 3), of.v = fill(6 * 2 * 3, 4);
  of.forward();
  of.backward(0);
  const auto expect_gradient = [&](std::vector<double> ExactAttention::* x, const std::vector<double>& gradient) {
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      ExactAttention above = of, below = of;
      (above.*x)[i] += kStep;
      (below.*x)[i] -= kStep;
      EXPECT_NEAR(gradient[i], (objective(above) - objective(below)) / (2 * kStep), kTolerance) << "element " << i;
    }
  };
  expect_gradient(&ExactAttention::q, of.dq);
  expect_gradient(&ExactAttention::k, of.dk);
  expect_gradient(&ExactAttention::v, of.dv);
}

template <class T>
void expect_lse() {
  for (const int head_size : {1, 17, 128}) {
    const AttentionBackwardOp<T> op(head_size, kLengths);
    ExactAttention exact = op.exact_inputs();
    exact.forward();
    const std::vector<float> lse(exact.lse.begin(), exact.lse.end());
    EXPECT_TRUE(all_close(to_host(op.lse_TH), lse, exact.lse_error)) << "head size " << head_size;
    Kokkos::deep_copy(op.lse_TH, NAN);
    attention_portable<T>(exec(), op.q_TN, op.batch.cache, op.batch.layout, op.scale, op.out_TN, op.lse_TH);
    EXPECT_TRUE(all_close(to_host(op.lse_TH), lse, exact.lse_error)) << "portable, head size " << head_size;
  }
}

TEST(AttentionLse, AgreesWithTheOracle) {
  expect_lse<float>();
  expect_lse<Bf16>();
}

TEST(AttentionLse, LeavesTheBitsOfTheOutput) {
  const AttentionBackwardOp<Bf16> op(48, kLengths);
  const std::vector<float> with = to_host(op.out_TN);
  Kokkos::deep_copy(op.out_TN, Bf16(float(NAN)));
  attention<Bf16>(exec(), op.q_TN, op.batch.cache, op.batch.layout, op.scale, op.out_TN);
  EXPECT_TRUE(same_bits(to_host(op.out_TN), with));
  const auto portable = [&](const View2D<float>& lse_TH) {
    attention_portable<Bf16>(exec(), op.q_TN, op.batch.cache, op.batch.layout, op.scale, op.out_TN, lse_TH);
    return to_host(op.out_TN);
  };
  EXPECT_TRUE(same_bits(portable({}), portable(op.lse_TH)));
}

template <class T>
class AttentionBackwardOf : public ::testing::Test {};
using Types = ::testing::Types<float, Bf16>;
TYPED_TEST_SUITE(AttentionBackwardOf, Types);

TYPED_TEST(AttentionBackwardOf, AgreesWithTheOracle) {
  for (const int head_size : {1, 5, 16, 17, 100, 128, 256}) {
    const AttentionBackwardOp<TypeParam> op(head_size, kLengths);
    const ExactAttention exact = op.gradients();
    const auto expect_close = [&](const View2D<TypeParam>& actual, const std::vector<double>& of, double tolerance,
                                  const char* name) {
      const std::vector<float> expected(of.begin(), of.end());
      EXPECT_TRUE(all_close(to_host(actual), expected, tolerance)) << fmt::format("{}, head size {}", name, head_size);
    };
    op.run(exec());
    expect_close(op.dq_TN, exact.dq, exact.dq_error, "dq");
    expect_close(op.dk_TM, exact.dk, exact.dk_error, "dk");
    expect_close(op.dv_TM, exact.dv, exact.dv_error, "dv");
  }
}

// At most 130 positions are seen: without one of them a token's gradient changes by about 1 / 130 of its magnitude, and
// by more without a head or with another factor.
TEST(AttentionBackward, IsComparedWithASmallTolerance) {
  constexpr double kOneOfAll = 1.0 / 130;
  const ExactAttention exact = AttentionBackwardOp<float>(64, kLengths).gradients();
  const auto largest = [](const std::vector<double>& of) { return max_abs(std::vector<float>(of.begin(), of.end())); };
  EXPECT_LT(exact.dq_error, kOneOfAll / 10 * largest(exact.dq));
  EXPECT_LT(exact.dk_error, kOneOfAll / 10 * largest(exact.dk));
  EXPECT_LT(exact.dv_error, kOneOfAll / 10 * largest(exact.dv));
}

TYPED_TEST(AttentionBackwardOf, IsTheSameInItsVariants) {
  for (const int head_size : {1, 17, 64, 128, 256}) {
    const AttentionBackwardOp<TypeParam> op(head_size, kLengths);
    op.run(exec());
    const std::vector<float> taken = op.actual();
    for (const auto& x : {op.dq_TN, op.dk_TM, op.dv_TM}) Kokkos::deep_copy(x, TypeParam(float(NAN)));
    const View2D<float> delta_TH(op.scratch.data(), op.num_tokens, op.kHeads);
    attention_backward_portable<TypeParam>(
        exec(), {op.q_TN, op.batch.cache.k_NGCP, op.batch.cache.v_NGPC, op.batch.layout, op.batch.begin_B1, op.scale,
                 op.dout_TN, op.lse_TH, delta_TH, op.dq_TN, op.dk_TM, op.dv_TM});
    EXPECT_TRUE(same_bits(op.actual(), taken)) << "head size " << head_size;
  }
}

// All of a sequence but its neighbours.
TYPED_TEST(AttentionBackwardOf, KeepsASequencesBitsWhateverTheOthersHold) {
  const AttentionBackwardOp<TypeParam> op(17, kLengths);
  op.run(exec());
  const std::vector<float> before = op.actual();
  const std::size_t per_token = before.size() / std::size_t(op.num_tokens);
  for (std::size_t b = 0; b < kLengths.size(); ++b) {
    const int begin = op.batch.begin[b], end = op.batch.begin[b + 1];
    const AttentionBackwardOp<TypeParam> other(17, kLengths);
    const TypeParam nan(float(NAN));
    const auto k_TM = to_device<TypeParam>(op.k, op.num_tokens, op.kv_width);
    const auto v_TM = to_device<TypeParam>(op.v, op.num_tokens, op.kv_width);
    for (const auto& x : {other.q_TN, other.out_TN, other.dout_TN, k_TM, v_TM}) {
      Kokkos::deep_copy(slice(x, 0, begin), nan);
      Kokkos::deep_copy(slice(x, end, other.num_tokens), nan);
    }
    kv_write<TypeParam>(exec(), k_TM, v_TM, other.batch.layout, other.batch.cache);
    other.run(exec());
    const std::vector<float> after = other.actual();
    const auto of = [&](const std::vector<float>& all) {
      return std::span(all).subspan(std::size_t(begin) * per_token, std::size_t(end - begin) * per_token);
    };
    EXPECT_TRUE(same_bits(of(after), of(before))) << "sequence " << b;
  }
}

TEST(AttentionBackward, HasTheSameBitsWithAnyThreadsAndNeighbours) {
  const AttentionBackwardOp<float> one(24, {5, 200, 70}), two(24, {5, 200, 70});
  one.run(with_threads(1));
  two.run(with_threads(2));
  EXPECT_TRUE(same_bits(one.actual(), two.actual()));
  for (const int t : {0, 5, 100, 204, 205, 274}) {
    const std::vector<float> alone = one.alone(t), all = one.actual();
    EXPECT_TRUE(same_bits(alone, std::span(all).subspan(std::size_t(t) * alone.size(), alone.size()))) << t;
  }
}

TEST(AttentionBackward, TakesEmptySequences) {
  const AttentionBackwardOp<float> with(8, {0, 3, 0, 0, 70, 0}), without(8, {3, 70});
  with.run(exec());
  without.run(exec());
  EXPECT_TRUE(same_bits(with.actual(), without.actual()));
}

}  // namespace
}  // namespace m2::test
