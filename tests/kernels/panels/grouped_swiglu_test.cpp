// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <span>
#include <vector>

#include "core/error.hpp"
#include "kernels/gemm/gemm_cases.hpp"
#include "kernels/gemm/grouped_gemm.hpp"
#include "kernels/gemm/grouped_swiglu.hpp"
#include "kernels/panels/panel_gemm.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// gate over up: out = silu(x gate) * (x up) * weight.
class GroupedSwiglu : public ::testing::Test {
 protected:
  static constexpr int kRows = 240, kInner = 192, kColumns = 200;
  static inline const std::vector<int> kOffsets{0, 5, 5, 6, 240};

  void SetUp() override {
    if (panel_kernel() == nullptr) GTEST_SKIP() << "this processor has no vector units that panels are for";
  }

  template <class Op>
  static std::vector<float> run(const Op& op, const ExecSpace& on, View1D<const float> row_weight) {
    const auto out = filled<Bf16>(kRows, kInner, NAN);
    grouped_swiglu(on, op.x_RK, op.w.weight, op.offset_E1, row_weight, out);
    return to_host(out);
  }

  template <class W>
  static GemmOp<Bf16, W, float> make() {
    return {GemmProvider::kokkos, in_panels({kRows, 2 * kInner, kColumns, /*num_row_parts=*/2, kOffsets})};
  }

  template <class W>
  static void expect_oracle(bool is_weighted) {
    auto op = make<W>();
    const auto sums = op.expected();
    const double sum_error = op.tolerance();
    std::vector<float> row_weight, expected;
    if (is_weighted) row_weight = normal(kRows, 5);
    double tolerance = 0;
    for (int i = 0; i < kRows * kInner; ++i) {
      const double gate = sums[i / kInner * 2 * kInner + i % kInner],
                   up = sums[i / kInner * 2 * kInner + kInner + i % kInner];
      const double weight = is_weighted ? row_weight[i / kInner] : 1.0, silu = gate / (1 + std::exp(-gate));
      expected.push_back(float(silu * up * weight));
      // The derivative of silu is at most 1.1; six roundings and two of the exponential come behind the sums.
      const double error = std::abs(weight) * sum_error * (1.1 * std::abs(up) + std::abs(silu) + 1.1 * sum_error);
      tolerance = std::max(tolerance, error + (8 * kUnit<float> + kUnit<Bf16>)*std::abs(expected.back()));
    }
    EXPECT_TRUE(all_close(run(op, exec(), to_device<float>(row_weight)), expected, tolerance)) << name(kDTypeOf<W>);
  }
};

TEST_F(GroupedSwiglu, MatchesTheOracle) {
  for (const bool is_weighted : {false, true}) {
    expect_oracle<Bf16>(is_weighted);
    expect_oracle<Fp8E4M3>(is_weighted);
  }
}

TEST_F(GroupedSwiglu, BitsDependOnTheRowAlone) {
  const auto op = make<Fp8E4M3>();
  const auto all = run(op, with_threads(1), {});
  EXPECT_TRUE(same_bits(run(op, with_threads(2), {}), all));
  // Row 5 is the only one of the third expert, and row 100 of the fourth one in a batch of its own.
  const auto out = filled<Bf16>(1, kInner, NAN);
  const View2D<const Bf16> row(op.x_RK.data() + 100 * kColumns, 1, kColumns);
  grouped_swiglu(exec(), row, op.w.weight, integers_to_device<int>(std::vector<int>{0, 0, 0, 0, 1}), {}, out);
  EXPECT_TRUE(same_bits(to_host(out), std::span<const float>(all).subspan(100 * kInner, kInner)));
}

TEST_F(GroupedSwiglu, KeepsTheProductsWithTheBitsOfGroupedGemm) {
  const auto op = make<Fp8E4M3>();
  const auto out = filled<Bf16>(kRows, kInner, NAN), products = filled<Bf16>(kRows, 2 * kInner, NAN),
             expected = filled<Bf16>(kRows, 2 * kInner, NAN);
  grouped_swiglu(exec(), op.x_RK, op.w.weight, op.offset_E1, {}, out, products);
  grouped_gemm<Bf16, Bf16>(exec(), GemmProvider::kokkos, op.x_RK, op.w.weight, op.offset_E1, {}, expected);
  EXPECT_TRUE(same_bits(to_host(products), to_host(expected)));
  EXPECT_TRUE(same_bits(to_host(out), run(op, exec(), {})));
}

TEST_F(GroupedSwiglu, ChecksNameBothNumbers) {
  const auto op = make<Bf16>();
  const auto says = [](const char* text) { return ThrowsMessage<Error>(HasSubstr(text)); };
  const auto call = [&](View2D<const Bf16> x, const Weight& weight, View1D<const float> row_weight, View2D<Bf16> out) {
    return [=] { grouped_swiglu(exec(), x, weight, op.offset_E1, row_weight, out); };
  };
  const auto out = filled<Bf16>(kRows, kInner, 0), narrow = filled<Bf16>(kRows, kInner - 1, 0);
  const Weight rows = Weight::allocate(exec(), DType::bfloat16, 4, 2 * kInner, kColumns, "test::weight", 2);
  EXPECT_THAT(call(op.x_RK, rows, {}, out), says("a weight of two parts in panels is expected"));
  EXPECT_THAT(call(op.x_RK, op.w.weight, {}, narrow),
              says("rows of gate_up_L2FD (384) and twice the columns of out_RF (382)"));
  EXPECT_THAT(call(op.x_RK, op.w.weight, View1D<float>("test::w", 3), out),
              says("elements of row_weight_R (3) and rows of out_RF (240)"));
  EXPECT_THAT(call(filled<Bf16>(kRows, 3, 0), op.w.weight, {}, out),
              says("columns of x_RD (3) and columns of gate_up_L2FD (200)"));
}

}  // namespace
}  // namespace m2::test
