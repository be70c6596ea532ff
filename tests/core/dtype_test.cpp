// SPDX-License-Identifier: Apache-2.0
#include "core/dtype.hpp"

#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <limits>

#include "core/bf16.hpp"
#include "core/error.hpp"
#include "core/fp8.hpp"

namespace m2 {
namespace {

TEST(DType, NamesAreReadBack) {
  for (int i = 0; i <= int(DType::uint64); ++i) EXPECT_EQ(parse_dtype(name(DType(i))), DType(i));
  EXPECT_EQ(size_bytes(DType::bfloat16), 2u);
}

TEST(DType, UnknownNameIsRefusedWithTheKnownOnes) {
  EXPECT_THAT(
      [] { parse_dtype("bf17"); },
      ::testing::ThrowsMessage<Error>(::testing::HasSubstr("unknown dtype 'bf17'; known are float32, bfloat16")));
}

// The oracle searches all 65536 values for the nearest, ties to the even one.
TEST(Bf16, RoundsToNearestEven) {
  for (std::uint64_t n = 0; n < 200000; ++n) {
    const auto bits = std::uint32_t(n * 2654435761u);
    const float value = std::bit_cast<float>(bits);
    if (!std::isfinite(value)) continue;
    const std::uint32_t low = bits & 0xffff0000u, rest = bits & 0xffffu;
    const bool up = rest > 0x8000u || (rest == 0x8000u && (low & 0x10000u));
    EXPECT_EQ(std::bit_cast<std::uint32_t>(float(Bf16(value))), low + (up ? 0x10000u : 0u)) << value;
  }
  EXPECT_TRUE(std::isnan(float(Bf16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_TRUE(std::isnan(float(Bf16(std::bit_cast<float>(0x7f800001u)))));
  EXPECT_EQ(float(Bf16(INFINITY)), INFINITY);
}

double e4m3_by_definition(int bits) {
  const int exponent = (bits >> 3) & 15, mantissa = bits & 7;
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return bits & 0x80 ? -magnitude : magnitude;
}

TEST(Fp8E4M3, ReadsEveryValueByDefinition) {
  for (int bits = 0; bits < 256; ++bits) {
    Fp8E4M3 value;
    value.bits = std::uint8_t(bits);
    if ((bits & 0x7f) == 0x7f) {
      EXPECT_TRUE(std::isnan(float(value)));
    } else {
      EXPECT_EQ(double(float(value)), e4m3_by_definition(bits)) << bits;
      EXPECT_EQ(Fp8E4M3(float(value)).bits, bits);
    }
  }
}

TEST(Fp8E4M3, RoundsToNearestEven) {
  for (int bits = 0; bits < 0x7e; ++bits) {
    const double low = e4m3_by_definition(bits), high = e4m3_by_definition(bits + 1), middle = (low + high) / 2;
    for (const float sign : {1.0f, -1.0f}) {
      const int sign_bit = sign < 0 ? 0x80 : 0;
      EXPECT_EQ(Fp8E4M3(sign * float(middle)).bits, sign_bit | (bits % 2 == 0 ? bits : bits + 1)) << middle;
      EXPECT_EQ(Fp8E4M3(sign * std::nextafter(float(middle), 0.0f)).bits, sign_bit | bits) << middle;
      EXPECT_EQ(Fp8E4M3(sign * std::nextafter(float(middle), INFINITY)).bits, sign_bit | (bits + 1)) << middle;
    }
  }
  EXPECT_EQ(Fp8E4M3(464.0f).bits, 0x7e);
  EXPECT_EQ(Fp8E4M3(464.1f).bits, 0x7f);
  EXPECT_EQ(Fp8E4M3(-INFINITY).bits, 0xff);
}

}  // namespace
}  // namespace m2
