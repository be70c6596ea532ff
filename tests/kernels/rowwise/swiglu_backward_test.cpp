// SPDX-License-Identifier: Apache-2.0
// What the case table leaves out of swiglu's gradient: the row weight's, and rows without a weight.
#include <gmock/gmock.h>

#include "core/error.hpp"
#include "kernels/rowwise/rowwise_backward_operations.hpp"

namespace m2::test {
namespace {

template <class T>
class SwigluBackward : public ::testing::Test {};
using StorageTypes = ::testing::Types<float, Bf16>;
TYPED_TEST_SUITE(SwigluBackward, StorageTypes);

TYPED_TEST(SwigluBackward, OverwritesTheRowWeightsGradient) {
  for (const int num_rows : {0, 1, 17}) {
    for (const int width : {1, 17, 64, 257}) {
      const SwigluBackwardOp<TypeParam> op({num_rows, width});
      Kokkos::deep_copy(op.dweight_R, NAN);
      op.run(exec());
      std::vector<float> expected;
      double largest = 0;
      for (int r = 0; r < num_rows; ++r) {
        double sum = 0, terms = 0;
        for (int f = 0; f < width; ++f) {
          const double gate = op.gate_up[std::size_t(r) * 2 * width + f],
                       up = op.gate_up[(std::size_t(r) * 2 + 1) * width + f];
          const auto loss = [&](double weight) {
            return op.dout[std::size_t(r) * width + f] * (gate / (1 + std::exp(-gate)) * up * weight);
          };
          const double term = central_difference(loss, op.weight[r]);
          sum += term, terms += std::abs(term);
        }
        expected.push_back(float(sum));
        largest = std::max(largest, terms);
      }
      // width / 64 + 6 additions; a term has silu with four roundings and two products.
      EXPECT_TRUE(all_close(to_host(op.dweight_R), expected, largest * (width / 64 + 13) * kUnit<float>))
          << num_rows << " rows of " << width;
    }
  }
}

TYPED_TEST(SwigluBackward, GivesTheBitsOfTheForward) {
  const SwigluBackwardOp<TypeParam> op({9, 130});
  op.run(exec());
  const auto forward = filled<TypeParam>(9, 130, NAN);
  swiglu<TypeParam>(exec(), op.gate_up_R2F, op.weight_R, forward);
  EXPECT_TRUE(same_bits(to_host(op.activated_RF), to_host(forward)));
}

TYPED_TEST(SwigluBackward, TakesNoWeightForOne) {
  const SwigluBackwardOp<TypeParam> weighted({9, 70}), plain({9, 70});
  Kokkos::deep_copy(weighted.weight_R, 1.0f);
  weighted.run(exec());
  swiglu_backward<TypeParam>(exec(), plain.gate_up_R2F, View1D<float>(), plain.dout_RF, plain.dgate_up_R2F,
                             plain.activated_RF, View1D<float>());
  EXPECT_TRUE(same_bits(plain.actual(), weighted.actual()));
}

TYPED_TEST(SwigluBackward, MayOverwriteItsInputsWhileItComputesAll) {
  const SwigluBackwardOp<TypeParam> apart({9, 70}), in_place({9, 70});
  apart.run(exec());
  swiglu_backward<TypeParam>(exec(), in_place.gate_up_R2F, in_place.weight_R, in_place.dout_RF, in_place.gate_up_R2F,
                             in_place.dout_RF, in_place.dweight_R);
  EXPECT_TRUE(same_bits(to_host(in_place.gate_up_R2F), to_host(apart.dgate_up_R2F)));
  EXPECT_TRUE(same_bits(to_host(in_place.dout_RF), to_host(apart.activated_RF)));
  EXPECT_TRUE(same_bits(to_host(in_place.dweight_R), to_host(apart.dweight_R)));
}

TEST(SwigluBackwardChecks, StaysFiniteWhereTheExponentialDoesNot) {
  const std::vector<float> gate_up{-200, 200, -90, 90, 1, 1, 1, 1};
  const auto in_place = to_device<float>(gate_up, 1, 8);
  const View2D<float> dout = filled<float>(1, 4, 1.0f);
  swiglu_backward<float>(exec(), in_place, View1D<float>(), dout, in_place, dout, View1D<float>());
  EXPECT_THAT(to_host(in_place), ::testing::Pointwise(::testing::FloatNear(1e-30f), {0, 1, 0, 1, 0, 200, 0, 90}));
}

TEST(SwigluBackwardChecks, NameWhatDoesNotFit) {
  const auto call = [](int columns, int weights, int dgate_up_rows, int activated_columns, int dweights) {
    const auto matrix = [](int rows, int width) { return View2D<float>("test::matrix", rows, width); };
    const auto vector = [](int count) { return View1D<float>("test::vector", count); };
    swiglu_backward<float>(exec(), matrix(2, columns), vector(weights), matrix(2, 5), matrix(dgate_up_rows, columns),
                           matrix(2, activated_columns), vector(dweights));
  };
  using ::testing::StrEq;
  const auto says = [](const char* message) { return ::testing::ThrowsMessage<Error>(StrEq(message)); };
  EXPECT_THAT([&] { call(9, 0, 2, 5, 0); },
              says("swiglu_backward: columns of gate_up_R2F (9) and twice the columns of dout_RF (10) must agree"));
  EXPECT_THAT([&] { call(10, 3, 2, 5, 0); },
              says("swiglu_backward: elements of row_weight_R (3) and rows of dout_RF (2) must agree"));
  EXPECT_THAT([&] { call(10, 2, 3, 5, 2); },
              says("swiglu_backward: gate_up_R2F (2 x 10) and dgate_up_R2F (3 x 10) must have one shape"));
  EXPECT_THAT([&] { call(10, 2, 2, 6, 2); },
              says("swiglu_backward: dout_RF (2 x 5) and activated_RF (2 x 6) must have one shape"));
  EXPECT_THAT([&] { call(10, 2, 2, 5, 1); },
              says("swiglu_backward: elements of drow_weight_R (1) and rows of dout_RF (2) must agree"));
}

}  // namespace
}  // namespace m2::test
