// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Kokkos_Core.hpp>
#include <cstdint>

#include "kernels/common/simd.hpp"

namespace m2 {

/// exp(x), off by at most 1 unit in the last place of a normal result, 1.5 on processors without a fused
/// multiply-add; 0 from -104 down, infinity from 88.73 up, NaN stays NaN. Our own, because loops over it become vector
/// code and give the same bits as scalar code, which calls of a library's exp do not promise: x = n ln 2 + r, and the
/// Taylor sum of exp(r) is exact to 0.1 units after r^7.
KOKKOS_FORCEINLINE_FUNCTION float exponential(float x) {
  constexpr float kLog2E = 0x1.715476p+0f;
  constexpr float kLn2High = 0x1.63p-1f;  // nine bits, so that n * kLn2High is exact
  constexpr float kLn2Low = -0x1.bd0106p-13f;
  constexpr float kRound = 0x1.8p+23f;  // adding it leaves the nearest integer in the lowest bits
  // Beyond 105 the result is 0 or infinity. (Two comparisons with constants would become branches, and no vector code.)
  x = Kokkos::abs(x) > 105.0f ? Kokkos::copysign(105.0f, x) : x;
  const float shifted = fused_multiply_add(x, kLog2E, kRound);
  const float n = shifted - kRound;
  const float r = fused_multiply_add(n, -kLn2Low, fused_multiply_add(n, -kLn2High, x));
  float p = 1.0f / 5040.0f;
  p = fused_multiply_add(p, r, 1.0f / 720.0f);
  p = fused_multiply_add(p, r, 1.0f / 120.0f);
  p = fused_multiply_add(p, r, 1.0f / 24.0f);
  p = fused_multiply_add(p, r, 1.0f / 6.0f);
  p = fused_multiply_add(p, r, 0.5f);
  p = fused_multiply_add(p, r, 1.0f);
  p = fused_multiply_add(p, r, 1.0f);
  // 2^n in two factors: n reaches from -151 to 151, beyond the exponents of one float.
  const std::int32_t exponent =
      std::int32_t(Kokkos::bit_cast<std::uint32_t>(shifted) - Kokkos::bit_cast<std::uint32_t>(kRound));
  const std::int32_t half = exponent >> 1;
  const float scale_1 = Kokkos::bit_cast<float>(std::uint32_t(half + 127) << 23);
  const float scale_2 = Kokkos::bit_cast<float>(std::uint32_t(exponent - half + 127) << 23);
  return p * scale_1 * scale_2;
}

/// 1 / (1 + exp(-x)).
KOKKOS_FORCEINLINE_FUNCTION float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

/// x / (1 + exp(-x)).
KOKKOS_FORCEINLINE_FUNCTION float silu(float x) { return x / (1.0f + exponential(-x)); }

}  // namespace m2
