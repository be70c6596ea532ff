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

}  // namespace
}  // namespace m2::test
