// SPDX-License-Identifier: Apache-2.0
// Loops that do nothing but multiply and add in registers, one for each kind of vector unit of x86.
#include <immintrin.h>

#include "bench/ceilings_loops.hpp"

namespace m2 {
namespace {

// Long enough for the latency of four cycles at two or more operations a cycle.
constexpr int kChains = 12;
constexpr float kFactor = 0.5f, kAddend = 0.25f;  // the chains stay near 1/2

__attribute__((target("avx2,fma"))) float run_avx2(std::int64_t iterations) {
  const __m256 factor = _mm256_set1_ps(kFactor), addend = _mm256_set1_ps(kAddend);
  __m256 chain[kChains];
  for (int c = 0; c < kChains; ++c) chain[c] = _mm256_set1_ps(float(c));
  for (std::int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) chain[c] = _mm256_fmadd_ps(chain[c], factor, addend);
  }
  __m256 total = chain[0];
  for (int c = 1; c < kChains; ++c) total = _mm256_add_ps(total, chain[c]);
  return _mm256_cvtss_f32(total);
}

__attribute__((target("avx512f"))) float run_avx512(std::int64_t iterations) {
  const __m512 factor = _mm512_set1_ps(kFactor), addend = _mm512_set1_ps(kAddend);
  __m512 chain[kChains];
  for (int c = 0; c < kChains; ++c) chain[c] = _mm512_set1_ps(float(c));
  for (std::int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) chain[c] = _mm512_fmadd_ps(chain[c], factor, addend);
  }
  __m512 total = chain[0];
  for (int c = 1; c < kChains; ++c) total = _mm512_add_ps(total, chain[c]);
  return _mm512_cvtss_f32(total);
}

__attribute__((target("avx512f,avx512bf16"))) float run_avx512_bf16(std::int64_t iterations) {
  const __m512bh tiny = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0x1p-20f), _mm512_set1_ps(0x1p-20f));
  __m512 chain[kChains];
  for (int c = 0; c < kChains; ++c) chain[c] = _mm512_set1_ps(float(c));
  for (std::int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) chain[c] = _mm512_dpbf16_ps(chain[c], tiny, tiny);
  }
  __m512 total = chain[0];
  for (int c = 1; c < kChains; ++c) total = _mm512_add_ps(total, chain[c]);
  return _mm512_cvtss_f32(total);
}
}  // namespace

PeakLoop float32_peak_loop() {
  if (__builtin_cpu_supports("avx512f")) return {run_avx512, 2 * 16 * kChains, "AVX-512"};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return {run_avx2, 2 * 8 * kChains, "AVX2"};
  return portable_peak_loop();
}

std::optional<PeakLoop> bfloat16_peak_loop() {
  if (__builtin_cpu_supports("avx512bf16")) return PeakLoop{run_avx512_bf16, 2 * 32 * kChains, "AVX-512 BF16"};
  return std::nullopt;
}

}  // namespace m2
