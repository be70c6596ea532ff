// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "core/error.hpp"
#include "kernels/gemm/gemm_cases.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

template <class T, class W, class Out, GemmProvider kBy = GemmProvider::kokkos>
struct Case {
  using Op = GemmOp<T, W, Out>;
  using Value = W;
  static constexpr GemmProvider kProvider = kBy;
  static constexpr DType kActivation = kDTypeOf<T>, kWeight = kDTypeOf<W>, kResult = kDTypeOf<Out>;
};

struct CaseName {
  template <class C>
  static std::string GetName(int) {
    return fmt::format("{}_{}_by_{}_to_{}", name(C::kProvider), name(C::kActivation), name(C::kWeight),
                       name(C::kResult));
  }
};

constexpr std::array kRowCounts{0, 1, 3, 17, 64, 257};

template <class C>
class Gemm : public ::testing::Test {
 public:
  using Op = typename C::Op;

  void SetUp() override {
    const std::string_view refusal = gemm_refusal(C::kProvider, C::kActivation, C::kWeight);
    if (!refusal.empty()) GTEST_SKIP() << refusal;
  }

  static void expect_oracle(const GemmShape& shape) {
    SCOPED_TRACE(fmt::format("{} rows, {} outputs, {} columns", shape.num_rows, shape.num_outputs, shape.num_columns));
    Op op(C::kProvider, shape);
    op.run(exec());
    const auto expected = op.expected();
    EXPECT_TRUE(all_close(op.actual(), expected, op.tolerance()));
  }
};

constexpr GemmProvider kLibrary = GemmProvider::kokkos_kernels, kOnednn = GemmProvider::onednn;
using AllCases = ::testing::Types<
    Case<float, float, float>, Case<float, Bf16, float>, Case<float, Fp8E4M3, float>, Case<Bf16, float, Bf16>,
    Case<Bf16, Bf16, Bf16>, Case<Bf16, Fp8E4M3, Bf16>, Case<Bf16, float, float>, Case<Bf16, Bf16, float>,
    Case<Bf16, Fp8E4M3, float>, Case<float, float, float, kLibrary>, Case<float, Bf16, float, kLibrary>,
    Case<float, Fp8E4M3, float, kLibrary>, Case<Bf16, float, Bf16, kLibrary>, Case<Bf16, Bf16, Bf16, kLibrary>,
    Case<Bf16, Fp8E4M3, Bf16, kLibrary>, Case<Bf16, float, float, kLibrary>, Case<Bf16, Bf16, float, kLibrary>,
    Case<Bf16, Fp8E4M3, float, kLibrary>, Case<float, float, float, kOnednn>, Case<Bf16, Bf16, Bf16, kOnednn>,
    Case<Bf16, Bf16, float, kOnednn>>;
TYPED_TEST_SUITE(Gemm, AllCases, CaseName);

TYPED_TEST(Gemm, MatchesTheOracle) {
  for (const int num_rows : kRowCounts) {
    for (const auto& [outputs, columns] : {std::pair{1, 1}, {5, 17}, {35, 300}, {130, 64}}) {
      this->expect_oracle({num_rows, outputs, columns});
    }
  }
}

TYPED_TEST(Gemm, BlocksOfScalesEndAtTheBorderOfTwoParts) {
  this->expect_oracle({.num_rows = 7, .num_outputs = 34, .num_columns = 140, .num_row_parts = 2});
  this->expect_oracle({.num_rows = 7, .num_outputs = 258, .num_columns = 140, .num_row_parts = 2});
}

TYPED_TEST(Gemm, GroupedMatchesTheOracleWithEmptyExperts) {
  this->expect_oracle({.num_rows = 30, .num_outputs = 37, .num_columns = 150, .offsets = {0, 0, 9, 10, 10, 30, 30}});
  this->expect_oracle({.num_rows = 17, .num_outputs = 37, .num_columns = 150, .offsets = {0, 0, 17, 17}});
  this->expect_oracle({.num_rows = 0, .num_outputs = 37, .num_columns = 150, .offsets = {0, 0, 0}});
}

// The promise: a row's bits depend on the row and the weight alone.
TYPED_TEST(Gemm, RowsHaveTheSameBitsInAnyBatch) {
  constexpr int kRows = 257, kFirst = 50;
  for (const auto& [outputs, columns] : {std::pair{256, 1536}, {100, 77}}) {
    const typename TestFixture::Op op(TypeParam::kProvider, {kRows, outputs, columns});
    op.run(exec());
    const auto batch = op.actual();
    for (const int count : {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 33, 64}) {
      SCOPED_TRACE(fmt::format("{} of {} rows, {} outputs, {} columns", count, kRows, outputs, columns));
      const auto same_rows =
          std::span<const float>(batch).subspan(std::size_t(kFirst) * outputs, std::size_t(count) * outputs);
      EXPECT_TRUE(same_bits(op.alone(kFirst, count), same_rows));
    }
  }
}

/// Matrix e of a stack, on its own.
template <class W>
Weight one_matrix(const Weight& stack, int e) {
  const Weight out = Weight::allocate(exec(), kDTypeOf<W>, 1, stack.num_rows(), stack.num_columns(), "test::matrix");
  const auto copy = [&](const auto& to, const auto& from) {
    Kokkos::deep_copy(exec(), Kokkos::subview(to, 0, Kokkos::ALL, Kokkos::ALL),
                      Kokkos::subview(from, e, Kokkos::ALL, Kokkos::ALL));
  };
  copy(out.values<W>(), stack.values<W>());
  if (stack.scale_inv().size() > 0) copy(out.scale_inv(), stack.scale_inv());
  return out;
}

TYPED_TEST(Gemm, GroupedGivesTheBitsOfGemm) {
  using Op = typename TestFixture::Op;
  const std::vector<int> offsets{0, 1, 1, 8, 21};
  Op op(TypeParam::kProvider, {.num_rows = 21, .num_outputs = 66, .num_columns = 200, .offsets = offsets});
  op.run(exec());
  const auto grouped = op.actual();
  op.shape.offsets.clear();  // from here on a gemm
  const Weight stack = op.w.weight;
  for (int e = 0; e < 4; ++e) {
    const int begin = offsets[e], count = offsets[e + 1] - begin;
    op.w.weight = one_matrix<typename TypeParam::Value>(stack, e);
    EXPECT_TRUE(same_bits(op.alone(begin, count), std::span<const float>(grouped).subspan(begin * 66, count * 66)))
        << "expert " << e;
  }
}

TYPED_TEST(Gemm, OneAndTwoThreadsGiveTheSameBits) {
  for (const std::vector<int>& offsets : {std::vector<int>{}, std::vector<int>{0, 3, 3, 70}}) {
    const typename TestFixture::Op op(TypeParam::kProvider,
                                      {.num_rows = 70, .num_outputs = 200, .num_columns = 300, .offsets = offsets});
    op.run(with_threads(1));
    const auto one = op.actual();
    op.run(with_threads(2));
    EXPECT_TRUE(same_bits(op.actual(), one));
  }
}

// FP8 is converted by a trick of bits: every number must come out as core/fp8.hpp says, NaN included.
TEST(GemmFp8, EveryValueIsExact) {
  constexpr int kValues = 256;
  const Weight w = Weight::allocate(exec(), DType::float8_e4m3fn, 1, kValues, 16, "test::weight");
  std::vector<float> expected;
  const auto values = Kokkos::create_mirror_view(w.values<Fp8E4M3>());
  for (int n = 0; n < kValues; ++n) {
    for (int k = 0; k < 16; ++k) values(0, n, k).bits = std::uint8_t(n);
    expected.push_back(float(values(0, n, 0)));
  }
  Kokkos::deep_copy(w.values<Fp8E4M3>(), values);
  Kokkos::deep_copy(w.scale_inv(), 1.0f);
  std::vector<float> x(16, 0.0f);
  x[5] = 1.0f;
  const auto y = filled<float>(1, kValues, 0.0f);
  gemm<float, float>(exec(), GemmProvider::kokkos, to_device<float>(x, 1, 16), w, {}, y);
  const auto actual = to_host(y);
  for (int n = 0; n < kValues; ++n) {
    if (std::isnan(expected[n])) {
      EXPECT_TRUE(std::isnan(actual[n])) << n;
    } else {
      EXPECT_EQ(actual[n], expected[n]) << n;
    }
  }
}

TEST(GemmChecks, NameBothNumbers) {
  const Weight w = Weight::allocate(exec(), DType::float32, 2, 5, 7, "test::weight");
  const Weight w_1 = Weight::allocate(exec(), DType::float32, 1, 5, 7, "test::weight");
  const Weight w_fp8 = Weight::allocate(exec(), DType::float8_e4m3fn, 1, 5, 7, "test::weight");
  const auto x = filled<float>(3, 7, 0), y = filled<float>(3, 5, 0), wide = filled<float>(3, 8, 0),
             tall = filled<float>(4, 5, 0);
  const auto kokkos = GemmProvider::kokkos;
  const auto run = [&](GemmProvider provider, View2D<const float> in, const Weight& weight, View2D<float> out) {
    return [=] { gemm<float, float>(exec(), provider, in, weight, {}, out); };
  };
  const auto says = [](const char* text) { return ThrowsMessage<Error>(HasSubstr(text)); };
  EXPECT_THAT(run(kokkos, x, w, y), says("gemm: the weight holds 2 matrices, 1 is expected"));
  EXPECT_THAT(run(kokkos, wide, w_1, y), says("gemm: x has 8 columns, the weight has 7"));
  EXPECT_THAT(run(kokkos, x, w_1, tall), says("gemm: y has 4 rows, x has 3"));
  EXPECT_THAT(run(kokkos, x, w_1, wide), says("gemm: y has 8 columns, the weight has 5 rows"));
  EXPECT_THAT(run(GemmProvider::onednn, x, w_fp8, y),
              says("gemm: provider onednn does not multiply float32 activations by float8_e4m3fn weights: "));
  const auto offsets = integers_to_device<int>(std::vector<int>{0, 3});
  const auto grouped = [&] { grouped_gemm<float, float>(exec(), kokkos, x, w, offsets, {}, y); };
  EXPECT_THAT(grouped, says("grouped_gemm: 2 offsets for 2 matrices, 3 are expected"));
}

TEST(GemmChecks, AWorkspaceThatIsTooSmallIsRefused) {
  const std::string_view refusal = gemm_refusal(GemmProvider::kokkos_kernels, DType::float32, DType::float32);
  if (!refusal.empty()) GTEST_SKIP() << refusal;
  const Weight w = Weight::allocate(exec(), DType::float32, 1, 5, 7, "test::weight");
  const auto x = filled<float>(3, 7, 0), y = filled<float>(3, 5, 0);
  EXPECT_THAT(([&] { gemm<float, float>(exec(), GemmProvider::kokkos_kernels, x, w, {}, y); }),
              ThrowsMessage<Error>(HasSubstr("gemm: the workspace has 0 bytes, 284 are needed")));
}

}  // namespace
}  // namespace m2::test
