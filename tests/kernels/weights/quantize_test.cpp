// SPDX-License-Identifier: Apache-2.0
#include "kernels/weights/quantize.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/error.hpp"
#include "support/compare.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

struct Quantized {
  std::vector<Fp8E4M3> q;
  std::vector<float> scale_inv;
};

Quantized quantize(const std::vector<float>& w, int num_rows, int num_columns) {
  Quantized out{std::vector<Fp8E4M3>(w.size()),
                std::vector<float>(std::size_t((num_rows + 127) / 128) * std::size_t((num_columns + 127) / 128))};
  quantize_fp8_blocks(HostExecSpace(), w, num_rows, num_columns, out.q, out.scale_inv);
  return out;
}

std::vector<float> expand(const Quantized& from, int num_rows, int num_columns) {
  std::vector<float> out(from.q.size());
  expand_fp8_blocks(HostExecSpace(), from.q, from.scale_inv, num_rows, num_columns, out);
  return out;
}

TEST(QuantizeFp8, EachBlockHasItsScaleRaggedOnesToo) {
  constexpr int kRows = 130, kColumns = 300;
  const auto w = normal(kRows * kColumns, 1, 0.02f);
  const auto [q, scale_inv] = quantize(w, kRows, kColumns);
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 3; ++j) {
      float largest = 0;
      for (int r = i * 128; r < std::min(kRows, (i + 1) * 128); ++r) {
        for (int c = j * 128; c < std::min(kColumns, (j + 1) * 128); ++c)
          largest = std::max(largest, std::abs(w[r * kColumns + c]));
      }
      EXPECT_EQ(scale_inv[i * 3 + j], largest / 448);
    }
  }
  for (int i = 0; i < kRows * kColumns; ++i) {
    const int block = i / kColumns / 128 * 3 + i % kColumns / 128;
    EXPECT_EQ(q[i].bits, Fp8E4M3(w[i] / scale_inv[block]).bits) << i;
  }
}

// Three bits of mantissa: half a step is 1/16 of the value, or 2^-10 scales among the subnormals.
TEST(QuantizeFp8, ExpandGivesTheValuesBackToHalfAStep) {
  constexpr int kRows = 257, kColumns = 64;
  const auto w = normal(kRows * kColumns, 2);
  const Quantized quantized = quantize(w, kRows, kColumns);
  const auto expanded = expand(quantized, kRows, kColumns);
  for (int i = 0; i < kRows * kColumns; ++i) {
    const double scale = quantized.scale_inv[i / kColumns / 128];
    EXPECT_LE(std::abs(expanded[i] - w[i]), std::max(std::abs(w[i]) / 16.0, scale * 0x1p-10) * (1 + 0x1p-20)) << i;
  }
}

TEST(QuantizeFp8, NumbersOfFp8ComeBackExactly) {
  std::vector<float> w;
  for (int bits = 0; bits < 256; ++bits) {
    Fp8E4M3 q;
    q.bits = std::uint8_t(bits);
    w.push_back(std::isnan(float(q)) ? 448.0f : float(q));
  }
  const Quantized quantized = quantize(w, 2, 128);
  EXPECT_EQ(quantized.scale_inv, std::vector<float>{1.0f});
  EXPECT_TRUE(same_bits(expand(quantized, 2, 128), w));
}

TEST(QuantizeFp8, TinyAndZeroBlocksAreGuarded) {
  const Quantized zero = quantize(std::vector<float>(6, 0.0f), 2, 3);
  EXPECT_EQ(zero.scale_inv, std::vector<float>{1.0f});
  EXPECT_EQ(zero.q[5].bits, 0);
  for (const float tiny : {std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::min()}) {
    const auto expanded = expand(quantize({tiny, -tiny}, 1, 2), 1, 2);
    EXPECT_TRUE(std::isfinite(expanded[0]) && std::isfinite(expanded[1])) << tiny;
    EXPECT_NEAR(expanded[0], tiny, std::numeric_limits<float>::min() * 0x1p-10);
  }
}

TEST(QuantizeFp8, RefusesWhatHasNoFp8) {
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> w(129 * 257, 1.0f);
    w.back() = bad;
    EXPECT_THAT([&] { quantize(w, 129, 257); },
                ThrowsMessage<Error>(HasSubstr("block (1, 2) of 128 x 128 holds NaN or infinity")));
  }
}

TEST(QuantizeFp8, RefusesSizesThatDoNotFit) {
  std::vector<float> w(12), scale(2);
  std::vector<Fp8E4M3> q(12);
  EXPECT_THAT([&] { quantize_fp8_blocks(HostExecSpace(), w, 4, 4, q, scale); },
              ThrowsMessage<Error>(HasSubstr("12 values in and 12 out, 4 x 4 = 16 are expected")));
  EXPECT_THAT([&] { expand_fp8_blocks(HostExecSpace(), q, scale, 3, 4, w); },
              ThrowsMessage<Error>(HasSubstr("2 scales for 3 x 4 values, 1 are expected")));
}

TEST(ConvertValues, RoundsAsBf16Does) {
  const auto values = normal(50000, 3);
  std::vector<Bf16> rounded(values.size());
  std::vector<float> back(values.size());
  convert_values<float, Bf16>(HostExecSpace(), values, rounded);
  convert_values<Bf16, float>(HostExecSpace(), rounded, back);
  for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(back[i], float(Bf16(values[i]))) << i;
  const auto convert = [&] { convert_values<float, Bf16>(HostExecSpace(), std::span(values).first(3), rounded); };
  EXPECT_THAT(convert, ThrowsMessage<Error>(HasSubstr("3 values in, 50000 out")));
}

}  // namespace
}  // namespace m2::test
