// SPDX-License-Identifier: Apache-2.0
// The gradient of rms_norm's weight, a sum over all rows; that of x is in the case table.
#include <gmock/gmock.h>

#include "core/error.hpp"
#include "kernels/rowwise/rowwise_backward_operations.hpp"

namespace m2::test {
namespace {

template <class T>
class RmsNormBackward : public ::testing::Test {};
using StorageTypes = ::testing::Types<float, Bf16>;
TYPED_TEST_SUITE(RmsNormBackward, StorageTypes);

// sum over rows of dout rms_norm(x), as a function of element d of the weight.
template <class T>
double sum_with_weight(const RmsNormBackwardOp<T>& op, int d, double value) {
  double sum = 0;
  for (int t = 0; t < op.size.num_tokens; ++t) {
    const float* row = &op.x[std::size_t(t) * op.size.width];
    double squares = 0;
    for (int i = 0; i < op.size.width; ++i) squares += double(row[i]) * row[i];
    const double scale = 1 / std::sqrt(squares / op.size.width + double(op.kEps));
    sum += op.dout[std::size_t(t) * op.size.width + d] * row[d] * scale * value;
  }
  return sum;
}

TYPED_TEST(RmsNormBackward, AddsTheWeightsGradientToWhatIsThere) {
  for (const int num_tokens : {0, 1, 63, 64, 65, 200}) {
    for (const int width : {1, 17, 64, 130}) {
      const RmsNormBackwardOp<TypeParam> op({num_tokens, width});
      const std::vector<float> before = normal(width, 5);
      Kokkos::deep_copy(op.dweight_D, to_device<float>(before));
      op.run(exec());
      std::vector<float> expected(width);
      for (int d = 0; d < width; ++d) {
        expected[d] = float(before[d] + central_difference([&](double w) { return sum_with_weight(op, d, w); }, 0));
      }
      // Each term is at most the largest dout times sqrt(width), rms_norm's largest result for weight 1; its two
      // products and its scale are rounded, then come up to 64 + num_tokens / 64 + 2 additions.
      const double roundings = width / 64 + 14 + 2 + 64 + num_tokens / 64.0 + 2;
      const double terms = num_tokens * max_abs(op.dout) * std::sqrt(double(width)) + max_abs(before);
      EXPECT_TRUE(all_close(to_host(op.dweight_D), expected, terms * roundings * kUnit<float>))
          << num_tokens << " rows of " << width;
    }
  }
}

TYPED_TEST(RmsNormBackward, AddsRowsInBlocksOf64ThenTheBlocks) {
  const RmsNormBackwardOp<TypeParam> op({200, 1});  // one column: no order inside a row
  Kokkos::deep_copy(op.dweight_D, 0.3f);
  op.run(exec());
  float total = 0.0f;
  for (int begin = 0; begin < 200; begin += 64) {
    float block = 0.0f;
    for (int t = begin; t < std::min(begin + 64, 200); ++t) {
      block += op.dout[t] * (op.x[t] * (1.0f / std::sqrt(op.x[t] * op.x[t] + op.kEps)));
    }
    total += block;
  }
  EXPECT_TRUE(same_bits(to_host(op.dweight_D), std::vector<float>{0.3f + total}));
}

TYPED_TEST(RmsNormBackward, GivesTheWeightTheSameBitsWithOneAndTwoThreads) {
  const RmsNormBackwardOp<TypeParam> one({330, 130}), two({330, 130});
  one.run(with_threads(1));
  two.run(with_threads(2));
  EXPECT_TRUE(same_bits(to_host(one.dweight_D), to_host(two.dweight_D)));
}

TYPED_TEST(RmsNormBackward, MayOverwriteDoutWhileItComputesBoth) {
  const RmsNormBackwardOp<TypeParam> apart({130, 70}), in_place({130, 70});
  apart.run(exec());
  rms_norm_backward<TypeParam>(exec(), in_place.x_TD, in_place.weight_D, in_place.kEps, in_place.dout_TD,
                               in_place.scratch, in_place.dout_TD, in_place.dweight_D);
  EXPECT_TRUE(same_bits(to_host(in_place.dout_TD), to_host(apart.dx_TD)));
  EXPECT_TRUE(same_bits(to_host(in_place.dweight_D), to_host(apart.dweight_D)));
}

TEST(RmsNormBackwardChecks, NameWhatDoesNotFit) {
  const auto call = [](int weights, int dout_rows, int dx_columns, int scratch, int dweights) {
    const auto matrix = [](int rows, int columns) { return View2D<float>("test::matrix", rows, columns); };
    const auto vector = [](int count) { return View1D<float>("test::vector", count); };
    rms_norm_backward<float>(exec(), matrix(65, 8), vector(weights), 1e-6f, matrix(dout_rows, 8), vector(scratch),
                             matrix(65, dx_columns), vector(dweights));
  };
  using ::testing::StrEq;
  const auto says = [](const char* message) { return ::testing::ThrowsMessage<Error>(StrEq(message)); };
  EXPECT_THAT([&] { call(7, 65, 8, 16, 8); },
              says("rms_norm_backward: elements of weight_D (7) and columns of x_TD (8) must agree"));
  EXPECT_THAT([&] { call(8, 64, 8, 16, 8); },
              says("rms_norm_backward: x_TD (65 x 8) and dout_TD (64 x 8) must have one shape"));
  EXPECT_THAT([&] { call(8, 65, 9, 16, 8); },
              says("rms_norm_backward: x_TD (65 x 8) and dx_TD (65 x 9) must have one shape"));
  EXPECT_THAT([&] { call(8, 65, 8, 16, 7); },
              says("rms_norm_backward: elements of dweight_D (7) and columns of x_TD (8) must agree"));
  EXPECT_THAT([&] { call(8, 65, 8, 15, 8); }, says("rms_norm_backward: scratch has 15 elements, 16 are needed"));
}

}  // namespace
}  // namespace m2::test
