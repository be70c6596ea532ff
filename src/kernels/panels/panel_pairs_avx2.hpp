// SPDX-License-Identifier: Apache-2.0
#pragma once

// How the AVX2 kernel reads panels (panel_layout.hpp): included by panel_gemm_avx2.cpp alone.
#ifdef __x86_64__
#include <immintrin.h>

#include <cstdint>

#include "kernels/panels/panel_layout.hpp"

// Compiled for AVX2 function by function, so that nothing of it leaks into code for other processors.
#define M2_AVX2 __attribute__((target("avx2,fma")))
#define M2_AVX2_INLINE M2_AVX2 __attribute__((always_inline)) inline
/// A loop whose registers must not depend on what stands around its call.
#define M2_AVX2_ALONE M2_AVX2 __attribute__((noinline))

namespace m2 {

/// A panel's rows are worked on in quarters of two registers: those that 32 bytes of an FP8 panel hold a pair of
/// columns of. Sums stand quarter after quarter, register after register: a panel's row has a slot among them.
constexpr int kQuarters = 4;
constexpr int kSlots = kPanelRows / kQuarters;

M2_AVX2_INLINE __m256i load(const std::uint8_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

/// Pairs of columns of a panel in bfloat16. A bfloat16 is the upper half of a float: of a pair the second one only
/// needs its neighbour masked away.
struct Bf16Pairs {
  static constexpr int kBytes = 4 * kPanelRows;
  /// Up to so many rows expand weights in registers, anew for each tile of at most kFewTileRows; more share weights
  /// that were expanded once. Measured on Zen 1, as for FP8.
  static constexpr int kFewRows = 32, kFewTileRows = 4;
  static constexpr float kActivation = 1.0f;
  /// Whether a panel's first pair is read elsewhere than in front of the second.
  static constexpr bool kIsFirstApart = false;
  static constexpr int row(int slot) { return slot; }

  M2_AVX2_INLINE static __m256 first(__m256i pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }
  M2_AVX2_INLINE static __m256 second(__m256i pairs) {
    return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(int(0xffff0000u))));
  }
  template <int kColumn>
  M2_AVX2_INLINE static void expand(const std::uint8_t* pairs, int quarter, __m256 (&w)[2]) {
    for (int i = 0; i < 2; ++i) {
      const __m256i rows = load(pairs + 4 * kSlots * quarter + 32 * i);
      w[i] = kColumn == 0 ? first(rows) : second(rows);
    }
  }
};

/// Pairs of columns of a panel in FP8, woven. The bits of a float8_e4m3fn, moved to where a float has its sign, the
/// lower end of its exponent and the upper of its fraction, are those of its value times 2^-120: also for denormal
/// numbers, but not for NaN, which no panel holds. Activations take 2^64 of that, the sum of a block the rest. Four
/// registers of floats take two shifts, an exclusive or and four masks, and no multiplication: 17 to 18 GB/s with two
/// cores of Zen 1, whose two units for multiplications are the limit. Two bytes in front of a pair are read, of which
/// the nearer one matters.
struct Fp8Pairs {
  static constexpr int kBytes = 2 * kPanelRows;
  static constexpr int kFewRows = 8, kFewTileRows = 6;
  static constexpr float kActivation = 0x1p64f, kSum = 0x1p56f;
  static constexpr bool kIsFirstApart = true;
  static constexpr int row(int slot) {
    const int place = slot / kSlots * kSlots + slot % 8 * 2 + slot % kSlots / 8;
    int row = 0;
    while (fp8_panel_place(row) != place) ++row;
    return row;
  }

  template <int kColumn>
  M2_AVX2_INLINE static void expand(const std::uint8_t* pairs, int quarter, __m256 (&w)[2]) {
    const std::uint8_t* const at = pairs + 2 * kSlots * quarter;
    if constexpr (kColumn == 0) {
      w[0] = masked(load(at - 2));  // rows at even places
      w[1] = masked(load(at));
    } else {
      const __m256i woven = load(at - 1);
      const __m256i values = _mm256_xor_si256(woven, _mm256_slli_epi16(woven, 4));
      w[0] = masked(_mm256_slli_epi32(values, 16));
      w[1] = masked(values);
    }
  }
  M2_AVX2_INLINE static __m256 masked(__m256i values) {
    return _mm256_castsi256_ps(_mm256_and_si256(values, _mm256_set1_epi32(int(0x87f00000u))));
  }
};

}  // namespace m2
#endif
