// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Kokkos_Core.hpp>
#include <cstdint>

#if defined(__AVX2__) && !defined(__CUDACC__)
#include <immintrin.h>
#define M2_PHILOX_AVX2
#endif

namespace m2 {

struct PhiloxBlock {
  std::uint32_t word[4];
};

/// Philox 4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC11).
KOKKOS_INLINE_FUNCTION PhiloxBlock philox(PhiloxBlock counter, std::uint32_t key_0, std::uint32_t key_1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product_0 = std::uint64_t(0xD2511F53u) * counter.word[0];
    const std::uint64_t product_1 = std::uint64_t(0xCD9E8D57u) * counter.word[2];
    counter = {{std::uint32_t(product_1 >> 32) ^ counter.word[1] ^ key_0, std::uint32_t(product_1),
                std::uint32_t(product_0 >> 32) ^ counter.word[3] ^ key_1, std::uint32_t(product_0)}};
    key_0 += 0x9E3779B9u;
    key_1 += 0xBB67AE85u;
  }
  return counter;
}

/// Block b of kBlocks, at out[4 b]: philox() of a counter whose first two words are the number first + b and whose last
/// two are word_2 and word_3. The compiler makes no vector code of philox() in a loop.
template <int kBlocks>
KOKKOS_FORCEINLINE_FUNCTION void philox_blocks(std::uint64_t first, std::uint32_t word_2, std::uint32_t word_3,
                                               std::uint32_t key_0, std::uint32_t key_1, std::uint32_t* out) {
#ifdef M2_PHILOX_AVX2
  // Words of four blocks in the lower halves of 64 bits, where the multiplication wants them; the upper ones are junk.
  constexpr int kVectors = kBlocks % 8 == 0 ? 2 : 1, kVectorBlocks = 4;
  if constexpr (kBlocks % kVectorBlocks == 0) {
    const __m256i factor_0 = _mm256_set1_epi64x(0xD2511F53), factor_1 = _mm256_set1_epi64x(0xCD9E8D57);
    for (int b = 0; b < kBlocks; b += kVectors * kVectorBlocks) {
      __m256i w0[kVectors], w1[kVectors], w2[kVectors], w3[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        const auto from = std::int64_t(first + std::uint64_t(b + v * kVectorBlocks));
        w0[v] = _mm256_add_epi64(_mm256_set1_epi64x(from), _mm256_set_epi64x(3, 2, 1, 0));
        w1[v] = _mm256_srli_epi64(w0[v], 32);
        w2[v] = _mm256_set1_epi64x(word_2);
        w3[v] = _mm256_set1_epi64x(word_3);
      }
      std::uint32_t k0 = key_0, k1 = key_1;
      for (int round = 0; round < 10; ++round) {
        for (int v = 0; v < kVectors; ++v) {
          const __m256i product_0 = _mm256_mul_epu32(w0[v], factor_0), product_1 = _mm256_mul_epu32(w2[v], factor_1);
          const __m256i mixed_1 = _mm256_xor_si256(w1[v], _mm256_set1_epi64x(k0));
          const __m256i mixed_3 = _mm256_xor_si256(w3[v], _mm256_set1_epi64x(k1));
          w0[v] = _mm256_xor_si256(_mm256_srli_epi64(product_1, 32), mixed_1);
          w2[v] = _mm256_xor_si256(_mm256_srli_epi64(product_0, 32), mixed_3);
          w1[v] = product_1;
          w3[v] = product_0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
      }
      for (int v = 0; v < kVectors; ++v) {
        const __m256i words_01 = _mm256_blend_epi32(w0[v], _mm256_slli_epi64(w1[v], 32), 0xaa);
        const __m256i words_23 = _mm256_blend_epi32(w2[v], _mm256_slli_epi64(w3[v], 32), 0xaa);
        const __m256i even = _mm256_unpacklo_epi64(words_01, words_23);
        const __m256i odd = _mm256_unpackhi_epi64(words_01, words_23);
        auto* const to = reinterpret_cast<__m256i*>(out + 4 * (b + v * kVectorBlocks));
        _mm256_storeu_si256(to, _mm256_permute2x128_si256(even, odd, 0x20));
        _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(even, odd, 0x31));
      }
    }
    return;
  }
#endif
  for (int b = 0; b < kBlocks; ++b) {
    const std::uint64_t number = first + std::uint64_t(b);
    const PhiloxBlock block =
        philox({{std::uint32_t(number), std::uint32_t(number >> 32), word_2, word_3}}, key_0, key_1);
    for (int i = 0; i < 4; ++i) out[4 * b + i] = block.word[i];
  }
}

}  // namespace m2
