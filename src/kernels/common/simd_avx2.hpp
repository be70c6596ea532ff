// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifdef __AVX2__  // so that it compiles alone on every processor
#include <immintrin.h>

#include "core/bf16.hpp"
#include "core/fp8.hpp"

namespace m2 {

// The operations of simd.hpp on two AVX2 registers, with the bits of the plain loops.

struct Lanes {
  struct Halves {
    __m256 low, high;
    float operator[](int l) const { return l < 8 ? low[l] : high[l - 8]; }
  };
  Halves value;
};

inline Lanes broadcast(float value) { return {{_mm256_set1_ps(value), _mm256_set1_ps(value)}}; }

inline Lanes load_lanes(const float* from) { return {{_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)}}; }

inline Lanes load_lanes(const Bf16* from) {
  const auto widen = [](const Bf16* eight) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(eight));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  };
  return {{widen(from), widen(from + 8)}};
}

/// By way of float16: its exponent has one bit more, so the bits of an e4m3 moved left by 7 are 2^-8 times its value,
/// subnormal or not. Only NaN needs care.
inline Lanes load_lanes(const Fp8E4M3* from) {
  const __m256i kMagnitude = _mm256_set1_epi16(0x3f80);
  const __m256i wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  const __m256i moved = _mm256_and_si256(_mm256_slli_epi16(wide, 7), _mm256_set1_epi16(short(0xbf80)));
  const __m256i is_nan = _mm256_cmpeq_epi16(_mm256_and_si256(moved, kMagnitude), kMagnitude);
  const __m256i half = _mm256_or_si256(moved, _mm256_and_si256(is_nan, _mm256_set1_epi16(0x7e00)));
  const auto widen = [](__m128i eight) { return _mm256_mul_ps(_mm256_cvtph_ps(eight), _mm256_set1_ps(256.0f)); };
  return {{widen(_mm256_castsi256_si128(half)), widen(_mm256_extracti128_si256(half, 1))}};
}

inline Lanes fused_multiply_add(const Lanes& a, const Lanes& b, const Lanes& c) {
  return {{_mm256_fmadd_ps(a.value.low, b.value.low, c.value.low),
           _mm256_fmadd_ps(a.value.high, b.value.high, c.value.high)}};
}

inline float sum(const Lanes& lanes) {
  const __m256 eight = _mm256_add_ps(lanes.value.low, lanes.value.high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

inline void store_lanes(const Lanes& lanes, float* to) {
  _mm256_storeu_ps(to, lanes.value.low);
  _mm256_storeu_ps(to + 8, lanes.value.high);
}

}  // namespace m2
#endif
