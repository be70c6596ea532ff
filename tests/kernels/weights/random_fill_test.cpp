// SPDX-License-Identifier: Apache-2.0
#include "kernels/weights/random_fill.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.hpp"
#include "kernels/common/philox.hpp"
#include "kernels/weights/quantize.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::vector<float> filled(int size, RandomStream stream, NormalDistribution distribution, std::int64_t offset = 0) {
  const View1D<float> out("test::out", size);
  fill_normal(exec(), stream, distribution, offset, out);
  return to_host(out);
}

// The known answers published with Random123, the authors' implementation.
TEST(Philox, KnownAnswers) {
  EXPECT_THAT(philox({{0, 0, 0, 0}}, 0, 0).word, ElementsAre(0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u));
  constexpr std::uint32_t kOnes = 0xffffffffu;
  EXPECT_THAT(philox({{kOnes, kOnes, kOnes, kOnes}}, kOnes, kOnes).word,
              ElementsAre(0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu));
  EXPECT_THAT(philox({{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}}, 0xa4093822u, 0x299f31d0u).word,
              ElementsAre(0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u));
}

TEST(Philox, BlocksAreThoseOfConsecutiveCounters) {
  for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{0xfffffffa}, std::uint64_t{1} << 40}) {
    std::uint32_t sixteen[64], four[16], one[4];
    philox_blocks<16>(first, 7, 9, 0xdeadbeefu, 0x12345678u, sixteen);
    philox_blocks<4>(first, 7, 9, 0xdeadbeefu, 0x12345678u, four);
    philox_blocks<1>(first, 7, 9, 0xdeadbeefu, 0x12345678u, one);
    for (std::uint64_t b = 0; b < 16; ++b) {
      const std::uint64_t number = first + b;
      const PhiloxBlock block =
          philox({{std::uint32_t(number), std::uint32_t(number >> 32), 7, 9}}, 0xdeadbeefu, 0x12345678u);
      for (std::uint64_t i = 0; i < 4; ++i) {
        EXPECT_EQ(sixteen[4 * b + i], block.word[i]) << first << ", block " << b;
        EXPECT_EQ(b < 4 ? four[4 * b + i] : block.word[i], block.word[i]) << first << ", block " << b;
        EXPECT_EQ(b < 1 ? one[i] : block.word[i], block.word[i]) << first;
      }
    }
  }
}

// With n numbers an estimate of moment m has the deviation sqrt(Var(z^m) / n); five of those are allowed: a correct
// generator fails one seed in a million, and the seed is fixed.
TEST(FillNormal, MomentsAndTailsAreThoseOfANormalDistribution) {
  constexpr int kSize = 1 << 20;
  const auto values = filled(kSize, {.seed = 7, .stream = 3}, {.mean = 2.0f, .deviation = 0.5f});
  double moment[5] = {}, lag = 0;
  int beyond_two = 0;
  double before = 0;
  for (const float value : values) {
    const double z = (value - 2.0) / 0.5;
    for (int m = 1; m <= 4; ++m) moment[m] += std::pow(z, m) / kSize;
    lag += z * before / kSize;
    before = z;
    beyond_two += std::abs(z) > 2;
  }
  const double unit = 5 / std::sqrt(double(kSize));
  EXPECT_NEAR(moment[1], 0, unit);
  EXPECT_NEAR(moment[2], 1, unit * std::sqrt(2));
  EXPECT_NEAR(moment[3], 0, unit * std::sqrt(15));
  EXPECT_NEAR(moment[4], 3, unit * std::sqrt(96));
  EXPECT_NEAR(lag, 0, unit);
  const double p = std::erfc(2 / std::numbers::sqrt2);
  EXPECT_NEAR(beyond_two / double(kSize), p, unit * std::sqrt(p * (1 - p)));
}

TEST(FillNormal, BoundCutsByDrawingAgain) {
  constexpr int kSize = 1 << 18;
  const NormalDistribution cut{.mean = 1.0f, .deviation = 2.0f, .bound = 3.0f};
  const auto values = filled(kSize, {.seed = 1}, cut),
             uncut = filled(kSize, {.seed = 1}, {.mean = 1.0f, .deviation = 2.0f});
  double variance = 0;
  for (int i = 0; i < kSize; ++i) {
    EXPECT_LE(std::abs(values[i] - 1.0), 3.0 * (1 + 0x1p-22));
    if (std::abs(uncut[i] - 1.0f) < 2.999f) {
      EXPECT_EQ(values[i], uncut[i]);
    }
    variance += (values[i] - 1.0) * (values[i] - 1.0) / 4 / kSize;
  }
  const double b = 1.5, density = std::exp(-b * b / 2) / std::sqrt(2 * std::numbers::pi);
  const double exact = 1 - 2 * b * density / std::erf(b / std::numbers::sqrt2);  // of a normal number cut at +-b
  EXPECT_NEAR(variance, exact, 5 * std::sqrt(2.0 / kSize));
}

TEST(FillNormal, ASliceIsPartOfTheWhole) {
  const RandomStream stream{.seed = 0x123456789abcdefu, .stream = 5};
  const NormalDistribution distribution{.deviation = 0.02f, .bound = 0.03f};
  const auto whole = filled(1000, stream, distribution);
  for (const int offset : {0, 1, 2, 3, 4, 17, 998}) {
    for (const int size : {0, 1, 2}) {
      const auto slice = std::span<const float>(whole).subspan(offset, size);
      EXPECT_TRUE(same_bits(filled(size, stream, distribution, offset), slice)) << offset;
    }
  }
  const std::int64_t far = std::int64_t(3) << 33;
  EXPECT_EQ(filled(8, stream, distribution, far)[6], filled(1, stream, distribution, far + 6)[0]);
  EXPECT_NE(filled(1, stream, distribution, far)[0], whole[0]);
}

TEST(FillNormal, SeedsAndStreamsDiffer) {
  const auto first = [](RandomStream stream) { return filled(1, stream, {})[0]; };
  EXPECT_NE(first({.seed = 1}), first({.seed = 2}));
  EXPECT_NE(first({.seed = 1}), first({.seed = 1 + (std::uint64_t(1) << 32)}));
  EXPECT_NE(first({.seed = 1, .stream = 0}), first({.seed = 1, .stream = 1}));
}

TEST(FillNormal, AWeightGetsTheSameNumbersRounded) {
  const Weight w = Weight::allocate(exec(), DType::bfloat16, 2, 3, 5, "test::weight");
  fill_normal(exec(), {.seed = 9}, {}, 4, w);
  const auto expected = filled(30, {.seed = 9}, {}, 4), actual = to_host(w.values<Bf16>());
  for (int i = 0; i < 30; ++i) EXPECT_EQ(actual[i], float(Bf16(expected[i]))) << i;
}

// Two matrices, each two parts of 130 x 201 numbers on top of one another: ragged blocks that begin anew in each part.
TEST(FillNormal, AnFp8WeightIsQuantisedAsACheckpointIs) {
  constexpr int kParts = 4, kRows = 130, kColumns = 201, kScales = 2 * 2;
  constexpr NormalDistribution kNormal{.deviation = 0.02f, .bound = 0.05f};
  const Weight w = Weight::allocate(exec(), DType::float8_e4m3fn, 2, 2 * kRows, kColumns, "test::weight", 2);
  fill_normal(exec(), {.seed = 9, .stream = 2}, kNormal, 7, w);
  const auto numbers = filled(kParts * kRows * kColumns, {.seed = 9, .stream = 2}, kNormal, 7);
  const auto q = to_host(w.values<Fp8E4M3>()), scale_inv = to_host(w.scale_inv());
  ASSERT_EQ(scale_inv.size(), std::size_t(kParts * kScales));
  for (int part = 0; part < kParts; ++part) {
    constexpr std::size_t kSize = std::size_t(kRows) * kColumns;
    std::vector<Fp8E4M3> expected(kSize);
    std::vector<float> expected_scale(kScales);
    quantize_fp8_blocks(HostExecSpace(), std::span(numbers).subspan(part * kSize, kSize), kRows, kColumns, expected,
                        expected_scale);
    EXPECT_TRUE(
        same_bits(std::span(q).subspan(part * kSize, kSize), std::vector<float>(expected.begin(), expected.end())))
        << part;
    EXPECT_TRUE(same_bits(std::span(scale_inv).subspan(part * kScales, kScales), expected_scale)) << part;
  }
}

TEST(FillNormal, OneAndTwoThreadsGiveTheSameBits) {
  const View1D<float> one("test::one", 4099), two("test::two", 4099);
  fill_normal(with_threads(1), {.seed = 3}, {.bound = 1.0f}, 1, one);
  fill_normal(with_threads(2), {.seed = 3}, {.bound = 1.0f}, 1, two);
  EXPECT_TRUE(same_bits(to_host(one), to_host(two)));
}

TEST(FillNormal, RefusesWhatItCannotDraw) {
  EXPECT_THAT([] { filled(1, {}, {.deviation = -1.0f}); }, ThrowsMessage<Error>(HasSubstr("deviation -1")));
  EXPECT_THAT([] { filled(1, {}, {.deviation = 1.0f, .bound = 0.01f}); },
              ThrowsMessage<Error>(HasSubstr("bound 0.01 is below 0.025 deviations of 1")));
  EXPECT_THAT([] { filled(1, {}, {}, -3); }, ThrowsMessage<Error>(HasSubstr("index_offset is -3")));
  const Weight w = Weight::allocate(exec(), DType::float8_e4m3fn, 1, 1, 1, "test::weight");
  EXPECT_THAT([&] { fill_normal(exec(), {}, {.deviation = -1.0f}, 0, w); },
              ThrowsMessage<Error>(HasSubstr("deviation -1")));
}

}  // namespace
}  // namespace m2::test
