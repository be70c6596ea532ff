// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.hpp"
#include "kernels/gemm/gemm_backward_cases.hpp"
#include "kernels/panels/panel_gemm.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// n roundings of float32 in a row change a sum by at most n 2^-24 of its terms' magnitude (to first order).
void expect_near(const Chain& chain, int length) {
  EXPECT_LE(std::abs(double(chain.value) - chain.exact), (length + 1) * kUnit<float> * chain.terms);
}

template <class Op>
void expect_input_oracle(const GemmShape& shape) {
  SCOPED_TRACE(fmt::format("{} rows, {} outputs, {} columns", shape.num_rows, shape.num_outputs, shape.num_columns));
  const Op op(shape);
  op.run(exec());
  std::vector<float> expected(op.dx_RK.size());
  op.for_outputs([&](std::int64_t i, const Chain& chain) {
    expect_near(chain, shape.num_outputs);
    using Out = typename decltype(op.dx_RK)::value_type;
    expected[i] = float(Out(chain.value));
  });
  EXPECT_TRUE(same_bits(op.actual(), expected));
}

template <class Op>
void expect_weight_oracle(const GemmShape& shape) {
  SCOPED_TRACE(fmt::format("{} rows, {} outputs, {} columns", shape.num_rows, shape.num_outputs, shape.num_columns));
  const Op op(shape);
  op.run(exec());
  std::vector<float> expected(op.before);
  op.for_outputs([&](std::int64_t i, const Chain& chain) {
    expect_near(chain, shape.num_rows);
    if (chain.terms > 0.0) expected[i] += chain.value;
  });
  EXPECT_TRUE(same_bits(op.actual(), expected));
}

template <class DY, class W, class DX, WeightLayout kLies = WeightLayout::rows>
struct InputCase {
  using Op = BackwardInputOp<DY, W, DX>;
  static constexpr WeightLayout kLayout = kLies;
};

template <class Case>
class GemmBackwardInput : public ::testing::Test {
 public:
  using Op = typename Case::Op;

  void SetUp() override {
    if (Case::kLayout == WeightLayout::panels && panel_kernel() == nullptr)
      GTEST_SKIP() << "this processor has no vector units that panels are for";
  }

  static GemmShape lies(GemmShape shape) {
    shape.layout = Case::kLayout;
    return shape;
  }
  static void expect_oracle(const GemmShape& shape) { expect_input_oracle<Op>(lies(shape)); }
};

constexpr WeightLayout kPanels = WeightLayout::panels;
using InputCases =
    ::testing::Types<InputCase<float, float, float>, InputCase<float, Bf16, float>, InputCase<float, Fp8E4M3, float>,
                     InputCase<Bf16, float, Bf16>, InputCase<Bf16, Bf16, Bf16>, InputCase<Bf16, Fp8E4M3, Bf16>,
                     InputCase<float, float, Bf16>, InputCase<float, Bf16, Bf16>, InputCase<float, Fp8E4M3, Bf16>,
                     InputCase<float, Bf16, float, kPanels>, InputCase<float, Fp8E4M3, float, kPanels>,
                     InputCase<Bf16, Bf16, Bf16, kPanels>, InputCase<Bf16, Fp8E4M3, Bf16, kPanels>,
                     InputCase<float, Bf16, Bf16, kPanels>, InputCase<float, Fp8E4M3, Bf16, kPanels>>;
TYPED_TEST_SUITE(GemmBackwardInput, InputCases);

TYPED_TEST(GemmBackwardInput, HasTheBitsOfThePlainLoop) {
  for (const int num_rows : {0, 1, 3, 17, 64, 97, 200}) {
    for (const auto& [outputs, columns] : {std::pair{64, 2}, {64, 130}, {320, 144}}) {
      this->expect_oracle({num_rows, outputs, columns});
    }
    if (TypeParam::kLayout == WeightLayout::panels) continue;
    for (const auto& [outputs, columns] : {std::pair{1, 1}, {5, 17}, {35, 300}, {257, 131}}) {
      this->expect_oracle({num_rows, outputs, columns});
    }
  }
}

TYPED_TEST(GemmBackwardInput, BlocksOfScalesEndAtTheBorderOfTwoParts) {
  this->expect_oracle({.num_rows = 7, .num_outputs = 384, .num_columns = 140, .num_row_parts = 2});
  if (TypeParam::kLayout == WeightLayout::rows)
    this->expect_oracle({.num_rows = 7, .num_outputs = 258, .num_columns = 140, .num_row_parts = 2});
}

TYPED_TEST(GemmBackwardInput, GroupedWithEmptyExpertsAndAllRowsOfOne) {
  this->expect_oracle({.num_rows = 30, .num_outputs = 64, .num_columns = 150, .offsets = {0, 0, 9, 10, 10, 30, 30}});
  this->expect_oracle({.num_rows = 250, .num_outputs = 64, .num_columns = 150, .offsets = {0, 0, 250, 250}});
  this->expect_oracle({.num_rows = 0, .num_outputs = 64, .num_columns = 150, .offsets = {0, 0, 0}});
  this->expect_oracle({.num_rows = 12, .num_outputs = 64, .num_columns = 20, .offsets = {0, 12}});
}

TYPED_TEST(GemmBackwardInput, OneAndTwoThreadsGiveTheSameBits) {
  for (const std::vector<int>& offsets : {std::vector<int>{}, std::vector<int>{0, 3, 3, 270}}) {
    const typename TestFixture::Op op(
        this->lies({.num_rows = 270, .num_outputs = 320, .num_columns = 300, .offsets = offsets}));
    op.run(with_threads(1));
    const auto one = op.actual();
    op.run(with_threads(2));
    EXPECT_TRUE(same_bits(op.actual(), one));
  }
}

template <class Op>
class GemmBackwardWeight : public ::testing::Test {};
using WeightCases =
    ::testing::Types<BackwardWeightOp<float, float>, BackwardWeightOp<Bf16, Bf16>, BackwardWeightOp<float, Bf16>>;
TYPED_TEST_SUITE(GemmBackwardWeight, WeightCases);

TYPED_TEST(GemmBackwardWeight, AddsTheBitsOfThePlainLoop) {
  for (const int num_rows : {0, 1, 3, 64, 257, 600}) {
    for (const auto& [outputs, columns] : {std::pair{1, 1}, {5, 17}, {97, 300}, {200, 64}}) {
      expect_weight_oracle<TypeParam>({num_rows, outputs, columns});
    }
  }
}

TYPED_TEST(GemmBackwardWeight, GroupedWithEmptyExpertsAndAllRowsOfOne) {
  expect_weight_oracle<TypeParam>(
      {.num_rows = 30, .num_outputs = 37, .num_columns = 150, .offsets = {0, 0, 9, 10, 10, 30, 30}});
  expect_weight_oracle<TypeParam>(
      {.num_rows = 300, .num_outputs = 37, .num_columns = 150, .offsets = {0, 0, 300, 300}});
  expect_weight_oracle<TypeParam>({.num_rows = 0, .num_outputs = 37, .num_columns = 150, .offsets = {0, 0, 0}});
  expect_weight_oracle<TypeParam>({.num_rows = 12, .num_outputs = 37, .num_columns = 20, .offsets = {0, 12}});
}

// -0 + 0 would be 0: nothing may be added where no row came.
TYPED_TEST(GemmBackwardWeight, ExpertsWithoutRowsAreNotTouched) {
  TypeParam op({.num_rows = 4, .num_outputs = 3, .num_columns = 20, .offsets = {0, 0, 4, 4}});
  op.before.assign(op.before.size(), -0.0f);
  op.reset();
  op.run(exec());
  const auto dw = op.actual();
  for (std::size_t i = 0; i < dw.size(); ++i) {
    const bool has_rows = i >= 60 && i < 120;
    EXPECT_EQ(dw[i] == 0.0f && std::signbit(dw[i]), !has_rows) << i;
  }
}

TYPED_TEST(GemmBackwardWeight, ASecondCallAddsAgain) {
  const TypeParam op({.num_rows = 70, .num_outputs = 100, .num_columns = 150, .offsets = {0, 20, 70}});
  op.run(exec());
  op.run(exec());
  std::vector<float> expected(op.before);
  op.for_outputs([&](std::int64_t i, const Chain& chain) { expected[i] = (expected[i] + chain.value) + chain.value; });
  EXPECT_TRUE(same_bits(op.actual(), expected));
}

TYPED_TEST(GemmBackwardWeight, OneAndTwoThreadsGiveTheSameBits) {
  for (const std::vector<int>& offsets : {std::vector<int>{}, std::vector<int>{0, 3, 3, 270}}) {
    const TypeParam op({.num_rows = 270, .num_outputs = 200, .num_columns = 300, .offsets = offsets});
    op.run(with_threads(1));
    const auto one = op.actual();
    op.reset();
    op.run(with_threads(2));
    EXPECT_TRUE(same_bits(op.actual(), one));
  }
}

TEST(GemmBackwardChecks, NameBothNumbers) {
  const Weight w = Weight::allocate(exec(), DType::float32, 2, 5, 7, "test::weight");
  const Weight w_1 = Weight::allocate(exec(), DType::float32, 1, 5, 7, "test::weight");
  const auto dy = filled<float>(3, 5, 0), x = filled<float>(3, 7, 0), wide = filled<float>(3, 8, 0),
             tall = filled<float>(4, 7, 0);
  const View3D<float> dw("test::dw", 2, 5, 7);
  const auto two = integers_to_device<int>(std::vector<int>{0, 1, 3});
  const auto input = [](View2D<const float> from, const Weight& weight, View1D<const int> offsets, View2D<float> to) {
    return [=] { gemm_backward_input<float, float>(exec(), from, weight, offsets, to); };
  };
  const auto weight = [&](View2D<const float> from, View2D<const float> rows, View1D<const int> offsets) {
    return [=] { gemm_backward_weight<float, float>(exec(), from, rows, offsets, dw); };
  };
  const auto says = [](const char* text) { return ThrowsMessage<Error>(HasSubstr(text)); };
  EXPECT_THAT(input(wide, w_1, {}, x), says("gemm_backward_input: columns of dy (8) and rows of the weight (5)"));
  EXPECT_THAT(input(dy, w_1, {}, wide), says("gemm_backward_input: columns of dx (8) and columns of the weight (7)"));
  EXPECT_THAT(input(dy, w_1, {}, tall), says("gemm_backward_input: rows of dx (4) and rows of dy (3)"));
  EXPECT_THAT(input(dy, w, {}, x), says("gemm_backward_input: 0 offsets for 2 matrices, 3 are expected"));
  EXPECT_THAT(input(dy, w_1, two, x), says("gemm_backward_input: 3 offsets for 1 matrices, 2 are expected"));
  EXPECT_THAT(weight(wide, x, two), says("gemm_backward_weight: columns of dy (8) and rows of dw (5)"));
  EXPECT_THAT(weight(dy, wide, two), says("gemm_backward_weight: columns of x (8) and columns of dw (7)"));
  EXPECT_THAT(weight(dy, tall, two), says("gemm_backward_weight: rows of x (4) and rows of dy (3)"));
  EXPECT_THAT(weight(dy, x, {}), says("gemm_backward_weight: 0 offsets for 2 matrices, 3 are expected"));
}

}  // namespace
}  // namespace m2::test
