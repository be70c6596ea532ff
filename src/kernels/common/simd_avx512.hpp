// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifdef __AVX512F__  // so that it compiles alone on every processor
#include <immintrin.h>

#include "core/bf16.hpp"
#include "core/fp8.hpp"

namespace m2 {

// The operations of simd.hpp on one AVX-512 register, with the bits of the plain loops. GCC 14 keeps arrays of 16
// floats in memory where a tile wants them in registers: a third of this speed.

struct Lanes {
  __m512 value;
};

inline Lanes broadcast(float value) { return {_mm512_set1_ps(value)}; }

inline Lanes load_lanes(const float* from) { return {_mm512_loadu_ps(from)}; }

inline Lanes load_lanes(const Bf16* from) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
}

/// By way of float16: its exponent has one bit more, so the bits of an e4m3 moved left by 7 are 2^-8 times its value,
/// subnormal or not. Only NaN needs care.
inline Lanes load_lanes(const Fp8E4M3* from) {
  const __m256i kMagnitude = _mm256_set1_epi16(0x3f80);
  const __m256i wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  const __m256i moved = _mm256_and_si256(_mm256_slli_epi16(wide, 7), _mm256_set1_epi16(short(0xbf80)));
  const __mmask16 is_nan = _mm256_cmpeq_epi16_mask(_mm256_and_si256(moved, kMagnitude), kMagnitude);
  const __m256i half = _mm256_mask_mov_epi16(moved, is_nan, _mm256_set1_epi16(0x7e00));
  return {_mm512_mul_ps(_mm512_cvtph_ps(half), _mm512_set1_ps(256.0f))};
}

inline Lanes fused_multiply_add(const Lanes& a, const Lanes& b, const Lanes& c) {
  return {_mm512_fmadd_ps(a.value, b.value, c.value)};
}

inline void store_lanes(const Lanes& lanes, float* to) { _mm512_storeu_ps(to, lanes.value); }

inline float sum(const Lanes& lanes) {
  const __m256 upper_8 = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(lanes.value), 1));
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(lanes.value), upper_8);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

}  // namespace m2
#endif
