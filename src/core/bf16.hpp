// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Kokkos_Core.hpp>
#include <cstdint>

namespace m2 {

/// A bfloat16 as stored: the upper half of a float32. Our own type, because Kokkos' bhalf_t has four bytes in a host
/// build.
struct Bf16 {
  std::uint16_t bits;

  Bf16() = default;

  /// Rounds to nearest even; a NaN stays a NaN.
  KOKKOS_INLINE_FUNCTION explicit Bf16(float value) {
    const auto u = Kokkos::bit_cast<std::uint32_t>(value);
    const bool is_nan = (u & 0x7fffffffu) > 0x7f800000u;
    bits = is_nan ? std::uint16_t((u >> 16) | 0x40u) : std::uint16_t((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }

  KOKKOS_INLINE_FUNCTION operator float() const { return Kokkos::bit_cast<float>(std::uint32_t(bits) << 16); }
};
static_assert(sizeof(Bf16) == 2);

}  // namespace m2
