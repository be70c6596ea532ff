// SPDX-License-Identifier: Apache-2.0
#pragma once

// The inner loops of the AVX2 kernel: a tile of rows by a chunk of a panel.
#ifdef __x86_64__
#include <algorithm>
#include <cstddef>

#include "kernels/common/with_rows.hpp"
#include "kernels/panels/panel_gemm.hpp"
#include "kernels/panels/panel_pairs_avx2.hpp"

namespace m2 {

/// 12 sums, 2 vectors of weights and 1 of activations fill 15 of 16 registers.
inline constexpr int kAvx2TileRows = 6;
inline constexpr int kCacheLineBytes = 64;

/// A stretch of at most kPanelChunk columns of a panel, and the activations in float32 that belong to it.
struct Avx2Chunk {
  const float* x_MK;            ///< rows of kPanelChunk
  const std::uint8_t* weights;  ///< as they are
  const std::uint8_t* next;     ///< what will be multiplied by after this chunk: num_pairs of them are fetched
  const float* expanded;        ///< or in float32: quarter after quarter, column after column
  int num_pairs;
  const float* scale;  ///< if not null: the products are summed alone and then multiplied by it
};

/// The sums of `kRows` rows and `kCount` quarters of a panel from `quarter` on.
template <int kRows, int kCount>
struct Avx2Sums {
  __m256 value[kRows][2 * kCount];

  /// Those so far, or zeros when `scale` is given.
  M2_AVX2_INLINE void begin(const float* totals, int quarter, const float* scale) {
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 8
      for (int j = 0; j < 2 * kCount; ++j) {
        const float* const from = totals + m * kPanelRows + quarter * kSlots + 8 * j;
        value[m][j] = scale ? _mm256_setzero_ps() : _mm256_load_ps(from);
      }
    }
  }
  M2_AVX2_INLINE void end(float* totals, int quarter, const float* scale) {
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 8
      for (int j = 0; j < 2 * kCount; ++j) {
        float* const to = totals + m * kPanelRows + quarter * kSlots + 8 * j;
        if (scale) value[m][j] = _mm256_fmadd_ps(value[m][j], _mm256_set1_ps(*scale), _mm256_load_ps(to));
        _mm256_store_ps(to, value[m][j]);
      }
    }
  }
  /// Of quarter `i`; x points to row 0.
  M2_AVX2_INLINE void add_column(int i, const float* x, const __m256 (&w)[2]) {
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
      const __m256 x_m = _mm256_broadcast_ss(x + m * kPanelChunk);
      value[m][2 * i] = _mm256_fmadd_ps(x_m, w[0], value[m][2 * i]);
      value[m][2 * i + 1] = _mm256_fmadd_ps(x_m, w[1], value[m][2 * i + 1]);
    }
  }
};

/// Pairs of columns in float16 are stored so many pairs before they are read: the loads do not wait for the stores.
inline constexpr int kHalvesAhead = 4;

/// `kCount` quarters of a pair of columns.
template <int kCount>
M2_AVX2_INLINE void store_halves(const std::uint8_t* pair, int quarter, Halves* to) {
#pragma GCC unroll 8
  for (int i = 0; i < kCount; ++i) Fp8Pairs::to_halves(pair, quarter + i, to[i]);
}

/// `kBytes` bytes.
template <int kBytes>
M2_AVX2_INLINE void fetch_lines(const std::uint8_t* from) {
  for (int line = 0; line < kBytes; line += kCacheLineBytes)
    _mm_prefetch(reinterpret_cast<const char*>(from + line), _MM_HINT_NTA);
}

/// Adds all pairs of the chunk to the sums of its quarters from `quarter` on; for each of them `kShare` bytes from
/// `ahead` on are fetched.
template <int kShare, int kRows, int kCount>
M2_AVX2_INLINE void add_pairs(Bf16Pairs, const Avx2Chunk& chunk, int quarter, const std::uint8_t* ahead,
                              Avx2Sums<kRows, kCount>& sums) {
  const std::uint8_t* pairs = chunk.weights;
  const float* x = chunk.x_MK;
  for (int left = chunk.num_pairs; left > 0; --left, pairs += Bf16Pairs::kBytes, x += 2, ahead += kShare) {
    fetch_lines<kShare>(ahead);
#pragma GCC unroll 8
    for (int i = 0; i < kCount; ++i) {
      __m256 w[2];
      Bf16Pairs::expand<0>(pairs, quarter + i, w);
      sums.add_column(i, x, w);
      Bf16Pairs::expand<1>(pairs, quarter + i, w);
      sums.add_column(i, x + 1, w);
    }
  }
}

/// One pair of columns in float16.
template <int kRows, int kCount>
M2_AVX2_INLINE void add_halves(const Halves* halves, const float* x, Avx2Sums<kRows, kCount>& sums) {
#pragma GCC unroll 8
  for (int i = 0; i < kCount; ++i) {
    __m256 w[2];
    Fp8Pairs::expand<0>(halves[i], w);
    sums.add_column(i, x, w);
    Fp8Pairs::expand<1>(halves[i], w);
    sums.add_column(i, x + 1, w);
  }
}

template <int kShare, int kRows, int kCount>
M2_AVX2_INLINE void add_pairs(Fp8Pairs, const Avx2Chunk& chunk, int quarter, const std::uint8_t* ahead,
                              Avx2Sums<kRows, kCount>& sums) {
  alignas(kCacheLineBytes) Halves ring[2 * kHalvesAhead][kCount];
  auto* const ring_bytes = reinterpret_cast<std::byte*>(ring);
  std::size_t stored = 0, read = 0;  // offsets in bytes: they take no register more than the loop has
  const std::uint8_t* pairs = chunk.weights;
  const float* x = chunk.x_MK;
  const int num_ahead = std::min(kHalvesAhead, chunk.num_pairs);
  for (int p = 0; p < num_ahead; ++p, pairs += Fp8Pairs::kBytes, stored += sizeof(ring[0]))
    store_halves<kCount>(pairs, quarter, ring[p]);
  M2_STORED(ring);
  for (int p = num_ahead; p < chunk.num_pairs; ++p, pairs += Fp8Pairs::kBytes, x += 2, ahead += kShare) {
    store_halves<kCount>(pairs, quarter, reinterpret_cast<Halves*>(ring_bytes + stored));
    stored = (stored + sizeof(ring[0])) % sizeof(ring);
    M2_STORED(ring);
    fetch_lines<kShare>(ahead);
    add_halves(reinterpret_cast<const Halves*>(ring_bytes + read), x, sums);
    read = (read + sizeof(ring[0])) % sizeof(ring);
  }
  for (int p = 0; p < num_ahead; ++p, x += 2, ahead += kShare) {
    fetch_lines<kShare>(ahead);
    add_halves(reinterpret_cast<const Halves*>(ring_bytes + read), x, sums);
    read = (read + sizeof(ring[0])) % sizeof(ring);
  }
}

/// totals += x * chunk for few rows: weights are expanded in registers. Several passes fetch the next chunk, each its
/// share: were one of them to fetch, memory would rest while the others multiply.
template <class Pairs, int kRows>
M2_AVX2_ALONE void multiply_few_tile(const Avx2Chunk& chunk, float* totals) {
  constexpr int kCount = kRows == 1 ? 4 : kRows == 2 ? 2 : 1;
  constexpr int kPasses = kQuarters / kCount;
  constexpr int kShare = Pairs::kBytes / kPasses;  // of a line, the same one twice
  const std::uint8_t* ahead = kPasses == 1 ? chunk.weights + Pairs::kFetchBytes : chunk.next;
  for (int quarter = 0; quarter < kQuarters; quarter += kCount, ahead += chunk.num_pairs * kShare) {
    Avx2Sums<kRows, kCount> sums;
    sums.begin(totals, quarter, chunk.scale);
    add_pairs<kShare>(Pairs{}, chunk, quarter, ahead, sums);
    sums.end(totals, quarter, chunk.scale);
  }
}

/// The same for one of many tiles of rows: weights come expanded.
template <int kRows>
M2_AVX2_ALONE void multiply_expanded_tile(const Avx2Chunk& chunk, int quarter, float* totals) {
  const float* const w_KN = chunk.expanded + quarter * kPanelChunk * kSlots;
  Avx2Sums<kRows, 1> sums;
  sums.begin(totals, quarter, chunk.scale);
  for (int k = 0; k < 2 * chunk.num_pairs; ++k) {
    const __m256 w[2] = {_mm256_load_ps(w_KN + k * kSlots), _mm256_load_ps(w_KN + k * kSlots + 8)};
    sums.add_column(0, chunk.x_MK + k, w);
  }
  sums.end(totals, quarter, chunk.scale);
}

template <class Pairs>
void multiply_few(const Avx2Chunk& chunk, int num_rows, float* totals) {
  const int tile_rows = even_tile(num_rows, Pairs::kFewTileRows);
  Avx2Chunk tile = chunk;
  for (int m = 0; m < num_rows; m += tile_rows, tile.x_MK += tile_rows * kPanelChunk) {
    with_rows<1, Pairs::kFewTileRows>(std::min(tile_rows, num_rows - m), [&](auto rows) {
      multiply_few_tile<Pairs, rows()>(tile, totals + m * kPanelRows);
    });
  }
}

inline void multiply_expanded(const Avx2Chunk& chunk, int num_rows, float* totals) {
  const int tile_rows = even_tile(num_rows, kAvx2TileRows);
  for (int quarter = 0; quarter < kQuarters; ++quarter) {
    Avx2Chunk tile = chunk;
    for (int m = 0; m < num_rows; m += tile_rows, tile.x_MK += tile_rows * kPanelChunk) {
      with_rows<1, kAvx2TileRows>(std::min(tile_rows, num_rows - m), [&](auto rows) {
        multiply_expanded_tile<rows()>(tile, quarter, totals + m * kPanelRows);
      });
    }
  }
}

}  // namespace m2
#endif
