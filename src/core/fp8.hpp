// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Kokkos_Core.hpp>
#include <cstdint>

namespace m2 {

/// Rows and columns of a block of an FP8 weight that share one scale (`weight_block_size` of the released checkpoints).
inline constexpr int kFp8Block = 128;

/// An 8-bit float as in OCP e4m3fn: 1 sign, 4 exponent (bias 7), 3 mantissa bits; largest 448, no infinity, NaN is
/// 0x7f.
struct Fp8E4M3 {
  std::uint8_t bits;

  Fp8E4M3() = default;

  /// Rounds to nearest even; beyond 464 (half a step over 448) and NaN become NaN, as in PyTorch.
  KOKKOS_INLINE_FUNCTION explicit Fp8E4M3(float value) {
    std::uint32_t u = Kokkos::bit_cast<std::uint32_t>(value);
    const std::uint8_t sign = std::uint8_t((u >> 24) & 0x80u);
    u &= 0x7fffffffu;
    if (u >= (1087u << 20)) {  // 480, the first value above 448 if the exponent went on; NaN is larger still
      bits = sign | 0x7fu;
    } else if (u < (121u << 23)) {  // below 2^-6: subnormal. Adding 2^14 leaves the steps of 2^-9 in the lowest bits.
      const float shifted = Kokkos::bit_cast<float>(u) + 16384.0f;
      bits =
          std::uint8_t(sign | (Kokkos::bit_cast<std::uint32_t>(shifted) - Kokkos::bit_cast<std::uint32_t>(16384.0f)));
    } else {
      const std::uint32_t odd = (u >> 20) & 1u;
      u += 0xc407ffffu + odd;  // exponent bias 127 -> 7, and half a step less one
      const std::uint32_t magnitude = u >> 20;
      bits = std::uint8_t(sign | (magnitude > 0x7fu ? 0x7fu : magnitude));
    }
  }

  /// Exact.
  KOKKOS_INLINE_FUNCTION operator float() const {
    const std::uint32_t sign = std::uint32_t(bits & 0x80u) << 24;
    const std::uint32_t magnitude = bits & 0x7fu;
    if (magnitude == 0x7fu) return Kokkos::bit_cast<float>(sign | 0x7fc00000u);
    if (magnitude < 8u) {
      const float subnormal = float(magnitude) * 0x1p-9f;
      return Kokkos::bit_cast<float>(sign | Kokkos::bit_cast<std::uint32_t>(subnormal));
    }
    return Kokkos::bit_cast<float>(sign | ((magnitude << 20) + (120u << 23)));
  }
};
static_assert(sizeof(Fp8E4M3) == 1);

}  // namespace m2
