// SPDX-License-Identifier: Apache-2.0
#include "kernels/panels/panel_gemm.hpp"

#if defined(__x86_64__) && !defined(__CUDACC__)
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "kernels/common/with_rows.hpp"

// Compiled for AVX-512 function by function, so that nothing of it leaks into code for other processors. Without its
// pragmas GCC 14 keeps a second copy of the sums in memory.
#define M2_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16,avx512vbmi")))
#define M2_AVX512_INLINE M2_AVX512 __attribute__((always_inline)) inline

namespace m2 {
namespace {

/// 24 sums, 4 weights and 1 pair of activations fill 29 of 32 registers.
constexpr int kAvx512TileRows = 6;
constexpr int kVectors = kPanelRows / 16;
constexpr int kChunkPairs = kPanelChunk / 2;
constexpr int kRegisterBytes = 64;

/// float8_e4m3fn to bfloat16, exactly: the upper and the lower byte of the 128 magnitudes.
struct Fp8Tables {
  alignas(64) std::uint8_t upper[128], lower[128];

  Fp8Tables() {
    for (int i = 0; i < 128; ++i) {
      Fp8E4M3 value;
      value.bits = std::uint8_t(i);
      const Bf16 wide{float(value)};
      upper[i] = std::uint8_t(wide.bits >> 8);
      lower[i] = std::uint8_t(wide.bits);
    }
  }
};
const Fp8Tables kFp8Tables;

struct Fp8Expander {
  __m512i upper[2], lower[2];
};

M2_AVX512_INLINE Fp8Expander load_expander() {
  return {{_mm512_load_si512(kFp8Tables.upper), _mm512_load_si512(kFp8Tables.upper + 64)},
          {_mm512_load_si512(kFp8Tables.lower), _mm512_load_si512(kFp8Tables.lower + 64)}};
}

/// 64 bytes of a panel become the pairs of 32 rows. The tables are looked up by the lower 7 bits; bit 7 is the sign.
M2_AVX512_INLINE void expand_avx512(const Fp8Expander& tables, const std::uint8_t* from, __m512i& pairs_0,
                                    __m512i& pairs_1) {
  const __m512i value = _mm512_loadu_si512(from);
  const __m512i lower = _mm512_permutex2var_epi8(tables.lower[0], value, tables.lower[1]);
  const __m512i magnitude = _mm512_permutex2var_epi8(tables.upper[0], value, tables.upper[1]);
  const __m512i upper = _mm512_ternarylogic_epi32(magnitude, value, _mm512_set1_epi8(char(0x80)), 0xf8);  // a | (b & c)
  pairs_0 = _mm512_unpacklo_epi8(lower, upper);
  pairs_1 = _mm512_unpackhi_epi8(lower, upper);
}

/// sums += the products of `kRows` rows with one pair of columns.
template <int kRows>
M2_AVX512_INLINE void add_pair_avx512(const Bf16* x_MK, std::int64_t stride, const __m512i (&w)[kVectors],
                                      __m512 (&sums)[kRows][kVectors]) {
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
    int pair;
    std::memcpy(&pair, x_MK + m * stride, sizeof(pair));
    const __m512i x = _mm512_set1_epi32(pair);
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) sums[m][j] = _mm512_dpbf16_ps(sums[m][j], (__m512bh)w[j], (__m512bh)x);
  }
}

/// What a tile multiplies by: `num_pairs` pairs of columns of a panel.
struct Avx512Chunk {
  const std::uint8_t* begin;
  int num_pairs;
  const float* scale_inv;    ///< if not null: the products are summed alone and then multiplied by it
  const std::uint8_t* next;  ///< if not null: num_pairs cache lines that will be needed soon
};

/// totals += x * chunk for `kRows` rows; kIsFp8: of what the chunk holds.
template <int kRows, bool kIsFp8>
M2_AVX512 void multiply_tile_avx512(const Bf16* x_MK, std::int64_t stride, const Avx512Chunk& chunk, float* totals) {
  __m512 sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j)
      sums[m][j] = chunk.scale_inv ? _mm512_setzero_ps() : _mm512_load_ps(totals + m * kPanelRows + 16 * j);
  }
  const Fp8Expander tables = kIsFp8 ? load_expander() : Fp8Expander{};
  for (int p = 0; p < chunk.num_pairs; ++p) {
    __m512i w[kVectors];
    if constexpr (kIsFp8) {
      const std::uint8_t* from = chunk.begin + p * 2 * kPanelRows;
      expand_avx512(tables, from, w[0], w[1]);
      expand_avx512(tables, from + kPanelRows, w[2], w[3]);
    } else {
      const std::uint8_t* from = chunk.begin + p * 4 * kPanelRows;
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) w[j] = _mm512_loadu_si512(from + j * kRegisterBytes);
    }
    if (chunk.next) _mm_prefetch(reinterpret_cast<const char*>(chunk.next + p * kRegisterBytes), _MM_HINT_T1);
    add_pair_avx512<kRows>(x_MK + 2 * p, stride, w, sums);
  }
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) {
      float* const total = totals + m * kPanelRows + 16 * j;
      if (chunk.scale_inv)
        sums[m][j] = _mm512_fmadd_ps(sums[m][j], _mm512_set1_ps(*chunk.scale_inv), _mm512_load_ps(total));
      _mm512_store_ps(total, sums[m][j]);
    }
  }
}

template <bool kIsFp8>
M2_AVX512 void multiply_rows_avx512(int num_rows, const Bf16* x_MK, std::int64_t stride, const Avx512Chunk& chunk,
                                    float* totals) {
  with_rows<1, kAvx512TileRows>(num_rows,
                                [&](auto rows) { multiply_tile_avx512<rows(), kIsFp8>(x_MK, stride, chunk, totals); });
}

M2_AVX512 void expand_chunk_avx512(const std::uint8_t* from, int num_pairs, std::uint8_t* to) {
  const Fp8Expander tables = load_expander();
  for (int half = 0; half < 2 * num_pairs; ++half) {
    __m512i pairs[2];
    expand_avx512(tables, from + half * kRegisterBytes, pairs[0], pairs[1]);
    _mm512_store_si512(to + half * 2 * kRegisterBytes, pairs[0]);
    _mm512_store_si512(to + half * 2 * kRegisterBytes + kRegisterBytes, pairs[1]);
  }
}

M2_AVX512 void store_avx512(const PanelProduct& product, void* y_MN, const float* totals) {
  for (int m = 0; m < product.num_rows; ++m) {
    const std::int64_t begin = m * product.y_row_stride;
    for (int j = 0; j < kVectors; ++j) {
      const __m512 sum = _mm512_load_ps(totals + m * kPanelRows + 16 * j);
      if (product.y_is_float) {
        _mm512_storeu_ps(static_cast<float*>(y_MN) + begin + 16 * j, sum);
      } else {
        const __m256bh rounded = _mm512_cvtneps_pbh(sum);
        std::memcpy(static_cast<Bf16*>(y_MN) + begin + 16 * j, &rounded, sizeof(rounded));
      }
    }
  }
}

/// Chunk by chunk over the columns, and in a chunk tile by tile over the rows: a chunk comes from memory once,
/// and while the tiles multiply by it the next one is fetched. Few rows expand FP8 in registers, many once into the
/// cache.
M2_AVX512 void multiply_panel_avx512(const PanelProduct& product, const PanelOperand& operand) {
  alignas(64) float totals[kPanelMaxRows * kPanelRows];
  alignas(64) std::uint8_t expanded[kPanelChunk * kPanelRows * sizeof(Bf16)];
  const bool is_fp8 = operand.scale_inv_C != nullptr;
  const bool is_expanded = is_fp8 && product.num_rows > kAvx512TileRows;
  std::fill_n(totals, product.num_rows * kPanelRows, 0.0f);
  const int tile_rows = even_tile(product.num_rows, kAvx512TileRows);
  const int pair_bytes = (is_fp8 ? 2 : 4) * kPanelRows;
  const auto* const panel = static_cast<const std::uint8_t*>(operand.panel);
  for (int begin = 0; begin < product.num_columns; begin += kPanelChunk) {
    const int num_pairs = std::min(kPanelChunk, product.num_columns - begin) / 2;
    const std::uint8_t* const chunk_begin = panel + std::int64_t(begin / 2) * pair_bytes;
    const std::uint8_t* next = chunk_begin + num_pairs * pair_bytes;
    const std::uint8_t* const next_end = next + kChunkPairs * pair_bytes;
    if (is_expanded) expand_chunk_avx512(chunk_begin, num_pairs, expanded);
    Avx512Chunk chunk{is_expanded ? expanded : chunk_begin, num_pairs,
                      is_fp8 ? operand.scale_inv_C + begin / kPanelChunk : nullptr, nullptr};
    for (int m = 0; m < product.num_rows; m += tile_rows, next += num_pairs * kRegisterBytes) {
      chunk.next = product.num_rows > kAvx512TileRows && next < next_end ? next : nullptr;
      const int num_rows = std::min(tile_rows, product.num_rows - m);
      const Bf16* const x_MK = product.x_MK + std::int64_t(m) * product.num_columns + begin;
      if (is_fp8 && !is_expanded) {
        multiply_rows_avx512<true>(num_rows, x_MK, product.num_columns, chunk, totals + m * kPanelRows);
      } else {
        multiply_rows_avx512<false>(num_rows, x_MK, product.num_columns, chunk, totals + m * kPanelRows);
      }
    }
  }
  store_avx512(product, operand.y_MN, totals);
}

void multiply_panels_avx512(const PanelProduct& product) {
  for (int i = 0; i < product.num_panels; ++i) multiply_panel_avx512(product, product.panel_P[i]);
}

}  // namespace

MultiplyPanels panel_kernel_avx512() {
  static const bool is_there = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vbmi") &&
                               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  return is_there ? &multiply_panels_avx512 : nullptr;
}

}  // namespace m2

#else

namespace m2 {

MultiplyPanels panel_kernel_avx512() { return nullptr; }

}  // namespace m2
#endif
