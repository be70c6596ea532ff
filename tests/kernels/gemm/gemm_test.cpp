// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.hpp"
#include "kernels/gemm/gemm_cases.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

template <class T, class W, class Out>
struct Types {
  using Activation = T;
  using Value = W;
  using Result = Out;
};

constexpr GemmProvider kProviders[] = {GemmProvider::kokkos, GemmProvider::kokkos_kernels, GemmProvider::onednn};
constexpr int kRowCounts[] = {0, 1, 3, 17, 64, 257};

template <class Types>
class Gemm : public ::testing::Test {
 public:
  using Op = GemmOp<typename Types::Activation, typename Types::Value, typename Types::Result>;

  static std::vector<GemmProvider> providers() {
    std::vector<GemmProvider> out;
    for (const GemmProvider provider : kProviders) {
      if (gemm_supports(provider, kDTypeOf<typename Types::Activation>, kDTypeOf<typename Types::Value>)) {
        out.push_back(provider);
      }
    }
    return out;
  }

  static void expect_oracle(GemmProvider provider, const GemmShape& shape) {
    SCOPED_TRACE(fmt::format("{}: {} rows, {} outputs, {} columns", name(provider), shape.num_rows, shape.num_outputs,
                             shape.num_columns));
    Op op(provider, shape);
    op.run(exec());
    const auto expected = op.expected();
    EXPECT_TRUE(all_close(op.actual(), expected, op.tolerance()));
  }
};

using AllTypes = ::testing::Types<Types<float, float, float>, Types<float, Bf16, float>, Types<float, Fp8E4M3, float>,
                                  Types<Bf16, float, Bf16>, Types<Bf16, Bf16, Bf16>, Types<Bf16, Fp8E4M3, Bf16>,
                                  Types<Bf16, float, float>, Types<Bf16, Bf16, float>, Types<Bf16, Fp8E4M3, float>>;
TYPED_TEST_SUITE(Gemm, AllTypes);

TYPED_TEST(Gemm, MatchesTheOracle) {
  for (const GemmProvider provider : this->providers()) {
    for (const int num_rows : kRowCounts) {
      for (const auto& [outputs, columns] : {std::pair{1, 1}, {5, 17}, {35, 300}, {130, 64}}) {
        this->expect_oracle(provider, {num_rows, outputs, columns});
      }
    }
  }
}

TYPED_TEST(Gemm, BlocksOfScalesEndAtTheBorderOfTwoParts) {
  for (const GemmProvider provider : this->providers()) {
    this->expect_oracle(provider, {.num_rows = 7, .num_outputs = 34, .num_columns = 140, .num_row_parts = 2});
    this->expect_oracle(provider, {.num_rows = 7, .num_outputs = 258, .num_columns = 140, .num_row_parts = 2});
  }
}

TYPED_TEST(Gemm, GroupedMatchesTheOracleWithEmptyExperts) {
  for (const GemmProvider provider : this->providers()) {
    this->expect_oracle(provider,
                        {.num_rows = 30, .num_outputs = 37, .num_columns = 150, .offsets = {0, 0, 9, 10, 10, 30, 30}});
    this->expect_oracle(provider, {.num_rows = 17, .num_outputs = 37, .num_columns = 150, .offsets = {0, 0, 17, 17}});
    this->expect_oracle(provider, {.num_rows = 0, .num_outputs = 37, .num_columns = 150, .offsets = {0, 0, 0}});
  }
}

// The promise: a row's bits depend on the row and the weight alone.
TYPED_TEST(Gemm, RowsHaveTheSameBitsInAnyBatch) {
  constexpr int kRows = 257, kFirst = 50;
  for (const GemmProvider provider : this->providers()) {
    for (const auto& [outputs, columns] : {std::pair{256, 1536}, {100, 77}}) {
      const typename TestFixture::Op op(provider, {kRows, outputs, columns});
      op.run(exec());
      const auto batch = op.actual();
      for (const int count : {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 33, 64}) {
        SCOPED_TRACE(
            fmt::format("{}: {} of {} rows, {} outputs, {} columns", name(provider), count, kRows, outputs, columns));
        const auto same_rows =
            std::span<const float>(batch).subspan(std::size_t(kFirst) * outputs, std::size_t(count) * outputs);
        EXPECT_TRUE(same_bits(op.alone(kFirst, count), same_rows));
      }
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
  for (const GemmProvider provider : this->providers()) {
    Op op(provider, {.num_rows = 21, .num_outputs = 66, .num_columns = 200, .offsets = offsets});
    op.run(exec());
    const auto grouped = op.actual();
    op.shape.offsets.clear();  // from here on a gemm
    const Weight stack = op.w.weight;
    for (int e = 0; e < 4; ++e) {
      const int begin = offsets[e], count = offsets[e + 1] - begin;
      op.w.weight = one_matrix<typename TypeParam::Value>(stack, e);
      EXPECT_TRUE(same_bits(op.alone(begin, count), std::span<const float>(grouped).subspan(begin * 66, count * 66)))
          << name(provider) << ", expert " << e;
    }
  }
}

TYPED_TEST(Gemm, OneAndTwoThreadsGiveTheSameBits) {
  for (const GemmProvider provider : this->providers()) {
    for (const std::vector<int>& offsets : {std::vector<int>{}, std::vector<int>{0, 3, 3, 70}}) {
      const typename TestFixture::Op op(provider,
                                        {.num_rows = 70, .num_outputs = 200, .num_columns = 300, .offsets = offsets});
      op.run(with_threads(1));
      const auto one = op.actual();
      op.run(with_threads(2));
      EXPECT_TRUE(same_bits(op.actual(), one)) << name(provider);
    }
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
  EXPECT_THAT(run(GemmProvider::kokkos_kernels, x, w_1, y), says("gemm: the workspace has 0 bytes, 284 are needed"));
  EXPECT_THAT(run(GemmProvider::onednn, x, w_fp8, y),
              says("gemm: provider onednn does not multiply float32 activations by float8_e4m3fn weights"));
  const auto offsets = integers_to_device<int>(std::vector<int>{0, 3});
  const auto grouped = [&] { grouped_gemm<float, float>(exec(), kokkos, x, w, offsets, {}, y); };
  EXPECT_THAT(grouped, says("grouped_gemm: 2 offsets for 2 matrices, 3 are expected"));
}

}  // namespace
}  // namespace m2::test
