// SPDX-License-Identifier: Apache-2.0
// Weights in panels: the same multiplications, in another order of the values.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <set>
#include <span>
#include <vector>

#include "core/error.hpp"
#include "kernels/gemm/gemm_cases.hpp"
#include "kernels/gemm/grouped_swiglu.hpp"
#include "kernels/panels/panel_gemm.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

template <class W, class Out>
struct Types {
  using Value = W;
  using Op = GemmOp<Bf16, W, Out>;
};

GemmShape in_panels(GemmShape shape) {
  shape.layout = WeightLayout::panels;
  return shape;
}

template <class Types>
class Panels : public ::testing::Test {
 public:
  using Op = typename Types::Op;

  void SetUp() override {
    if (panel_kernel() == nullptr) GTEST_SKIP() << "this processor has no vector units that panels are for";
  }

  static Op make(const GemmShape& shape) { return Op(GemmProvider::kokkos, in_panels(shape)); }

  static void expect_oracle(const GemmShape& shape) {
    SCOPED_TRACE(fmt::format("{} rows, {} outputs, {} columns", shape.num_rows, shape.num_outputs, shape.num_columns));
    Op op = make(shape);
    op.run(exec());
    const auto expected = op.expected();
    EXPECT_TRUE(all_close(op.actual(), expected, op.tolerance()));
  }
};

using AllTypes = ::testing::Types<Types<Bf16, Bf16>, Types<Bf16, float>, Types<Fp8E4M3, Bf16>, Types<Fp8E4M3, float>>;
TYPED_TEST_SUITE(Panels, AllTypes);

TYPED_TEST(Panels, MatchTheOracle) {
  for (const int num_rows : {0, 1, 2, 3, 4, 5, 6, 7, 17, 64, 257}) {
    for (const auto& [outputs, columns] : {std::pair{64, 2}, {128, 130}, {192, 300}, {1216, 20}}) {
      this->expect_oracle({num_rows, outputs, columns});
    }
  }
}

TYPED_TEST(Panels, BlocksOfScalesEndAtTheBorderOfTwoParts) {
  this->expect_oracle({.num_rows = 9, .num_outputs = 128, .num_columns = 140, .num_row_parts = 2});
  this->expect_oracle({.num_rows = 1, .num_outputs = 384, .num_columns = 140, .num_row_parts = 2});
}

TYPED_TEST(Panels, GroupedMatchTheOracleWithEmptyExperts) {
  this->expect_oracle({.num_rows = 30, .num_outputs = 64, .num_columns = 150, .offsets = {0, 0, 9, 10, 10, 30, 30}});
  this->expect_oracle({.num_rows = 250, .num_outputs = 64, .num_columns = 150, .offsets = {0, 0, 250, 250}});
  this->expect_oracle({.num_rows = 0, .num_outputs = 64, .num_columns = 150, .offsets = {0, 0, 0}});
}

// The promise: a row's bits depend on the row and the weight alone.
TYPED_TEST(Panels, RowsHaveTheSameBitsInAnyBatch) {
  constexpr int kRows = 257, kFirst = 50, kOutputs = 192;
  const auto op = this->make({kRows, kOutputs, 700});
  op.run(exec());
  const auto batch = op.actual();
  for (const int count : {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 16, 33, 64, 191, 192, 193}) {
    const auto same_rows = std::span<const float>(batch).subspan(kFirst * kOutputs, std::size_t(count) * kOutputs);
    EXPECT_TRUE(same_bits(op.alone(kFirst, count), same_rows)) << count << " of " << kRows << " rows";
  }
}

// Two threads multiply by fewer panels at a time than one.
TYPED_TEST(Panels, OneAndTwoThreadsGiveTheSameBits) {
  for (const std::vector<int>& offsets : {std::vector<int>{}, std::vector<int>{0, 3, 3, 70}}) {
    const auto op = this->make({.num_rows = 70, .num_outputs = 1216, .num_columns = 300, .offsets = offsets});
    op.run(with_threads(1));
    const auto one = op.actual();
    op.run(with_threads(2));
    EXPECT_TRUE(same_bits(op.actual(), one));
  }
}

TYPED_TEST(Panels, GoBackToTheRowsTheyWere) {
  using Value = typename TypeParam::Value;
  const RandomWeight<Value> w(3, {.num_rows = 1, .num_outputs = 128, .num_columns = 150}, 7);
  const Weight copy = w.weight;
  const auto rows = to_host_as_is(w.weight.template values<Value>());
  Weight changed = w.weight;
  changed.set_layout(exec(), WeightLayout::panels);
  EXPECT_THAT([&] { copy.values<Value>(); }, ThrowsMessage<Error>(HasSubstr("its values lie in panels")))
      << "copies share the memory, and how values lie in it";
  EXPECT_NE(std::memcmp(changed.data(), rows.data(), std::size_t(changed.bytes())), 0);

  std::vector<Value> some(std::size_t(5) * 150);  // rows 66 to 70 of the second matrix: 2 to 6 of its second panel
  const std::int64_t panel = 3, bytes = panel_bytes(kDTypeOf<Value>, 150);
  unpack_panel(kDTypeOf<Value>, 150, changed.data() + panel * bytes, 2, 7, reinterpret_cast<std::byte*>(some.data()));
  EXPECT_EQ(std::memcmp(some.data(), rows.data() + (128 + 66) * 150, some.size() * sizeof(Value)), 0);

  changed.set_layout(exec(), WeightLayout::rows);
  EXPECT_EQ(std::memcmp(copy.values<Value>().data(), rows.data(), std::size_t(changed.bytes())), 0);
}

struct Kernel {
  const char* name;
  MultiplyPanels multiply;
  Fp8Panels form;
};

// Whichever of them this processor would choose: each that it can run.
std::vector<Kernel> kernels() {
  std::vector<Kernel> out;
  for (const Kernel& kernel : {Kernel{"avx512", panel_kernel_avx512(), Fp8Panels::bytes},
                               Kernel{"avx2", panel_kernel_avx2(), Fp8Panels::woven}}) {
    if (kernel.multiply != nullptr) out.push_back(kernel);
  }
  return out;
}

/// A panel's rows with FP8 numbers in no order: what neighbours hold must not matter. No NaN is in panels.
std::vector<Fp8E4M3> random_fp8_numbers(int num_columns) {
  std::vector<Fp8E4M3> rows(std::size_t(kPanelRows) * num_columns);
  std::mt19937 random(1);
  for (Fp8E4M3& value : rows) {
    const auto bits = std::uint8_t(random());
    value.bits = (bits & 0x7f) == 0x7f ? std::uint8_t(0) : bits;
  }
  return rows;
}

TEST(PanelKernels, ExpandEveryFp8NumberExactly) {
  constexpr int kColumns = 256;
  const std::vector<Fp8E4M3> rows = random_fp8_numbers(kColumns);
  std::set<int> numbers;
  for (const Fp8E4M3 value : rows) numbers.insert(value.bits);
  ASSERT_EQ(numbers.size(), 254u) << "all but two NaN";
  for (const Kernel& kernel : kernels()) {
    std::vector<Fp8E4M3> panel(rows.size());
    pack_panel(DType::float8_e4m3fn, kColumns, reinterpret_cast<const std::byte*>(rows.data()),
               reinterpret_cast<std::byte*>(panel.data()), kernel.form);
    for (const int num_rows : {1, 2, 3, 4, 7, 20}) {
      for (int first = 0; first < kColumns; first += num_rows) {
        std::vector<Bf16> x(std::size_t(num_rows) * kColumns, Bf16(0.0f));
        const auto column = [=](int m) { return (first + m) % kColumns; };
        for (int m = 0; m < num_rows; ++m) x[m * kColumns + column(m)] = Bf16(1.0f);
        std::vector<float> y(std::size_t(num_rows) * kPanelRows, NAN);
        const float scale_inv_C[2] = {0.5f, 0.5f};
        kernel.multiply({.x_MK = x.data(),
                         .num_rows = num_rows,
                         .num_columns = kColumns,
                         .y_row_stride = kPanelRows,
                         .y_is_float = true,
                         .num_panels = 1,
                         .panel_P = {{{panel.data(), scale_inv_C, y.data()}}}});
        for (int i = 0; i < std::ssize(y); ++i) {
          ASSERT_EQ(y[i], 0.5f * float(rows[i % kPanelRows * kColumns + column(i / kPanelRows)]))
              << kernel.name << ", column " << column(i / kPanelRows) << " of row " << i % kPanelRows;
        }
      }
    }
  }
}

TEST(PanelLayout, EveryFormHoldsEveryFp8Number) {
  for (const int num_columns : {2, 6, 256}) {  // one pair, fewer than are packed at once, more
    const std::vector<Fp8E4M3> rows = random_fp8_numbers(num_columns);
    for (const Fp8Panels form : {Fp8Panels::bytes, Fp8Panels::woven}) {
      std::vector<Fp8E4M3> panel(rows.size()), back(rows.size());
      pack_panel(DType::float8_e4m3fn, num_columns, reinterpret_cast<const std::byte*>(rows.data()),
                 reinterpret_cast<std::byte*>(panel.data()), form);
      unpack_panel(DType::float8_e4m3fn, num_columns, reinterpret_cast<const std::byte*>(panel.data()), 0, kPanelRows,
                   reinterpret_cast<std::byte*>(back.data()), form);
      EXPECT_EQ(std::memcmp(rows.data(), back.data(), rows.size()), 0) << num_columns << " columns";
    }
  }
}

TEST(PanelKernels, AgreeWithThePlainSum) {
  constexpr int kColumns = 270;
  for (const Kernel& kernel : kernels()) {
    for (const int num_rows : {1, 5, 6, 23, 192}) {
      const auto x = random_rows<Bf16>(0, num_rows, kColumns, 1), w = random_rows<Bf16>(0, kPanelRows, kColumns, 2);
      const std::vector<Bf16> x_MK(x.begin(), x.end()), rows(w.begin(), w.end());
      std::vector<Bf16> panel(rows.size()), y(std::size_t(num_rows) * kPanelRows);
      pack_panel(DType::bfloat16, kColumns, reinterpret_cast<const std::byte*>(rows.data()),
                 reinterpret_cast<std::byte*>(panel.data()));
      kernel.multiply({.x_MK = x_MK.data(),
                       .num_rows = num_rows,
                       .num_columns = kColumns,
                       .y_row_stride = kPanelRows,
                       .y_is_float = false,
                       .num_panels = 1,
                       .panel_P = {{{panel.data(), nullptr, y.data()}}}});
      for (int i = 0; i < std::ssize(y); ++i) {
        double sum = 0, terms = 0;
        for (int k = 0; k < kColumns; ++k) {
          const double product = double(x[i / kPanelRows * kColumns + k]) * double(w[i % kPanelRows * kColumns + k]);
          sum += product;
          terms += std::abs(product);
        }
        ASSERT_NEAR(float(y[i]), sum, (kColumns + 3) * kUnit<float> * terms + kUnit<Bf16> * std::abs(sum))
            << kernel.name << ", output " << i;
      }
    }
  }
}

TEST(PanelChecks, SayWhatDoesNotFit) {
  if (panel_kernel() == nullptr) GTEST_SKIP() << "this processor has no vector units that panels are for";
  const auto allocate = [](DType dtype, int rows, int columns, int parts) {
    return Weight::allocate(exec(), dtype, 1, rows, columns, "test::weight", parts);
  };
  const auto set = [](const Weight& weight) {
    return [=] {
      Weight copy = weight;
      copy.set_layout(exec(), WeightLayout::panels);
    };
  };
  const auto says = [](const char* text) { return ThrowsMessage<Error>(HasSubstr(text)); };
  EXPECT_THAT(set(allocate(DType::float32, 64, 8, 1)), says("1 matrices of 64 x 8 in float32 cannot be laid out"));
  EXPECT_THAT(set(allocate(DType::bfloat16, 65, 8, 1)), says("1 matrices of 65 x 8 in bfloat16 cannot be laid out"));
  EXPECT_THAT(set(allocate(DType::bfloat16, 64, 7, 1)), says("1 matrices of 64 x 7 in bfloat16 cannot be laid out"));
  EXPECT_THAT(set(allocate(DType::bfloat16, 64, 8, 2)), says("1 matrices of 64 x 8 in bfloat16 cannot be laid out"));
  EXPECT_THAT([] { Weight::allocate(exec(), DType::bfloat16, 1, 65, 8, "w", 1, WeightLayout::panels); },
              says("weight 'w': 65 rows in 1 parts and 8 columns of bfloat16 do not fit into panels"));

  const Weight fp8 = allocate(DType::float8_e4m3fn, 64, 8, 1);
  Kokkos::deep_copy(fp8.values<Fp8E4M3>(), Fp8E4M3(1.0f));
  Fp8E4M3 nan;
  nan.bits = 0xff;
  Kokkos::deep_copy(Kokkos::subview(fp8.values<Fp8E4M3>(), 0, 63, 7), nan);
  EXPECT_THAT(set(fp8), says("a float8_e4m3fn weight holds NaN"));
  EXPECT_EQ(fp8.layout(), WeightLayout::rows);

  Weight packed = allocate(DType::bfloat16, 64, 8, 1);
  Kokkos::deep_copy(packed.values<Bf16>(), Bf16(1.0f));
  packed.set_layout(exec(), WeightLayout::panels);
  EXPECT_THAT([&] { packed.matrix(0).set_layout(exec(), WeightLayout::rows); }, says("one matrix of a stack"));
  const auto x = filled<float>(3, 8, 0), y = filled<float>(3, 64, 0);
  EXPECT_THAT([&] { (gemm<float, float>(exec(), GemmProvider::kokkos, x, packed, {}, y)); },
              says("gemm: a weight in panels is multiplied by bfloat16 activations and the provider kokkos only"));
}

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
