// SPDX-License-Identifier: Apache-2.0
#pragma once

// How the AVX2 kernel reads panels (panel_layout.hpp).
#ifdef __x86_64__
#include <immintrin.h>

#include <cstdint>

#include "kernels/panels/panel_layout.hpp"

// Compiled for AVX2 function by function, so that nothing of it leaks into code for other processors.
#define M2_AVX2 __attribute__((target("avx2,fma,f16c")))
#define M2_AVX2_INLINE M2_AVX2 __attribute__((always_inline)) inline
/// A loop whose registers must not depend on what stands around its call.
#define M2_AVX2_ALONE M2_AVX2 __attribute__((noinline))
/// What was stored to an array must be loaded from it: GCC would pass it in registers, whose upper halves cost an
/// operation to reach.
#define M2_STORED(array) asm volatile("" : "+m"(array))

namespace m2 {

/// A panel's rows are worked on in quarters of two registers: those that 32 bytes of an FP8 panel hold a pair of
/// columns of. Sums stand quarter after quarter, register after register: a panel's row has a slot among them.
inline constexpr int kQuarters = 4;
inline constexpr int kSlots = kPanelRows / kQuarters;

/// Pairs of columns of a panel in bfloat16. A bfloat16 is the upper half of a float: of a pair the second one only
/// needs its neighbour masked away.
struct Bf16Pairs {
  static constexpr int kBytes = 4 * kPanelRows;
  /// Up to so many rows expand weights in registers, anew for each tile of at most kFewTileRows; more share weights
  /// that were expanded once. Measured on Zen 1, as for FP8.
  static constexpr int kFewRows = 32, kFewTileRows = 4;
  /// How far ahead of the multiplication by one row weights are fetched, past the outer caches: they are used once.
  /// Measured on Zen 1, two cores: 22 to 27 GB/s, where fetching into all caches reaches 18 to 22.
  static constexpr int kFetchBytes = 1024;
  static constexpr int row(int slot) { return slot; }

  M2_AVX2_INLINE static __m256 first(__m256i pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }
  M2_AVX2_INLINE static __m256 second(__m256i pairs) {
    return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(int(0xffff0000u))));
  }
  template <int kColumn>
  M2_AVX2_INLINE static void expand(const std::uint8_t* pairs, int quarter, __m256 (&w)[2]) {
    for (int i = 0; i < 2; ++i) {
      const auto* const from = reinterpret_cast<const __m256i*>(pairs + 4 * kSlots * quarter + 32 * i);
      const __m256i rows = _mm256_loadu_si256(from);
      w[i] = kColumn == 0 ? first(rows) : second(rows);
    }
  }
};

/// A quarter of a pair of columns in float16: [column][register].
using Halves = __m128i[2][2];

/// Pairs of columns of a panel in FP8, by way of float16: its exponent has one bit more, so the bits of a float8_e4m3fn
/// moved to where a float16 has its sign, the lower end of its exponent and the upper of its fraction are its value
/// times 2^-8, also for subnormal numbers, but not for NaN, which no panel holds. vcvtph2ps makes normal floats of
/// subnormal float16 at full speed, so that no float operation sees a subnormal number: on Intel each of those would
/// cost 150 cycles. It reads from memory, where the upper half of a register is as near as the lower one. The sum of
/// a block takes the 2^8 with its scale.
struct Fp8Pairs {
  static constexpr int kBytes = 2 * kPanelRows;
  static constexpr int kFewRows = 8, kFewTileRows = 6;
  static constexpr int kFetchBytes = 1536;  // panels are read some 500 bytes ahead of the multiplication
  static constexpr float kSum = 0x1p8f;
  static constexpr int row(int slot) {
    int row = 0;
    while (fp8_panel_place(row) != slot) ++row;
    return row;
  }

  M2_AVX2_INLINE static void to_halves(const std::uint8_t* pairs, int quarter, Halves& halves) {
    const __m256i pair = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(pairs + 2 * kSlots * quarter));
    const __m256i first = _mm256_maddubs_epi16(_mm256_set1_epi16(0x0080), pair);  // the lower byte, signed, times 2^7
    const __m256i second = _mm256_srai_epi16(pair, 1);
    const __m256i mask = _mm256_set1_epi16(short(0xbf80));
    _mm256_store_si256(reinterpret_cast<__m256i*>(halves[0]), _mm256_and_si256(first, mask));
    _mm256_store_si256(reinterpret_cast<__m256i*>(halves[1]), _mm256_and_si256(second, mask));
  }
  template <int kColumn>
  M2_AVX2_INLINE static void expand(const Halves& halves, __m256 (&w)[2]) {
    for (int i = 0; i < 2; ++i) w[i] = _mm256_cvtph_ps(_mm_load_si128(&halves[kColumn][i]));
  }
};

}  // namespace m2
#endif
