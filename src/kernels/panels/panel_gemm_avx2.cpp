// SPDX-License-Identifier: Apache-2.0
#include "kernels/panels/panel_gemm.hpp"

#if defined(__x86_64__) && !defined(__CUDACC__)
#include <algorithm>
#include <array>

#include "kernels/panels/panel_pairs_avx2.hpp"

namespace m2 {
namespace {

/// 12 sums, 2 vectors of weights and 1 of activations fill 15 of 16 registers.
constexpr int kTileRows = 6;
/// Of a panel; then the next piece has room beside it in the first-level cache.
constexpr int kFewChunkBytes = 8192;
static_assert(2 * kFewChunkBytes / Fp8Pairs::kBytes == kPanelChunk, "a block of FP8 is summed alone");
/// How far ahead of the multiplication by one row weights are fetched, past the outer caches: they are used once.
/// Measured on Zen 1, two cores, in bfloat16: 22 to 27 GB/s, where fetching into all caches reaches 18 to 22.
constexpr int kFetchBytes = 1024;
constexpr int kLineBytes = 64;

/// The sums of `kRows` rows and `kCount` quarters of a panel from `quarter` on.
template <int kRows, int kCount>
struct Sums {
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

/// A stretch of at most kPanelChunk columns of a panel, and the activations in float32 that belong to it.
struct Chunk {
  const float* x_MK;            ///< rows of kPanelChunk
  const std::uint8_t* weights;  ///< as they are
  const std::uint8_t* first;    ///< the first pair of them, with what the kernel reads before it
  const std::uint8_t* next;     ///< what will be multiplied by after this chunk: num_pairs of them are fetched
  const float* expanded;        ///< or in float32: quarter after quarter, column after column
  int num_pairs;
  const float* scale;  ///< if not null: the products are summed alone and then multiplied by it
};

/// Adds one pair of columns to the sums; while that goes on `kBytes` bytes from `ahead` on are fetched.
template <class Pairs, int kBytes, int kRows, int kCount>
M2_AVX2_INLINE void add_pair(const std::uint8_t* pairs, int quarter, const float* x, const std::uint8_t* ahead,
                             Sums<kRows, kCount>& sums) {
  for (int line = 0; line < kBytes; line += kLineBytes)
    _mm_prefetch(reinterpret_cast<const char*>(ahead + line), _MM_HINT_NTA);
#pragma GCC unroll 8
  for (int i = 0; i < kCount; ++i) {
    __m256 w[2];
    Pairs::template expand<0>(pairs, quarter + i, w);
    sums.add_column(i, x, w);
    Pairs::template expand<1>(pairs, quarter + i, w);
    sums.add_column(i, x + 1, w);
  }
}

/// totals += x * chunk for few rows: weights are expanded in registers. Several passes fetch the next chunk, each its
/// share: were one of them to fetch, memory would rest while the others multiply.
template <class Pairs, int kRows, int kCount>
M2_AVX2_ALONE void multiply_few(const Chunk& chunk, float* totals) {
  constexpr int kPasses = kQuarters / kCount;
  constexpr int kShare = Pairs::kBytes / kPasses;  // of a line, the same one twice
  const std::uint8_t* ahead = kPasses == 1 ? chunk.weights + kFetchBytes : chunk.next;
  for (int quarter = 0; quarter < kQuarters; quarter += kCount) {
    Sums<kRows, kCount> sums;
    sums.begin(totals, quarter, chunk.scale);
    const std::uint8_t* pairs = chunk.weights;
    const float* x = chunk.x_MK;
    int left = chunk.num_pairs;
    const auto advance = [&] {
      --left;
      pairs += Pairs::kBytes;
      x += 2;
      ahead += kShare;
    };
    if constexpr (Pairs::kIsFirstApart) {
      add_pair<Pairs, kShare>(chunk.first, quarter, x, ahead, sums);
      advance();
    }
    for (; left > 0; advance()) add_pair<Pairs, kShare>(pairs, quarter, x, ahead, sums);
    sums.end(totals, quarter, chunk.scale);
  }
}

/// The same for one of many tiles of rows: weights come expanded.
template <int kRows>
M2_AVX2_ALONE void multiply_expanded(const Chunk& chunk, int quarter, float* totals) {
  const float* const w_KN = chunk.expanded + quarter * kPanelChunk * kSlots;
  Sums<kRows, 1> sums;
  sums.begin(totals, quarter, chunk.scale);
  for (int k = 0; k < 2 * chunk.num_pairs; ++k) {
    const __m256 w[2] = {_mm256_load_ps(w_KN + k * kSlots), _mm256_load_ps(w_KN + k * kSlots + 8)};
    sums.add_column(0, chunk.x_MK + k, w);
  }
  sums.end(totals, quarter, chunk.scale);
}

template <class Pairs>
M2_AVX2 void expand(const Chunk& chunk, float* expanded) {
  for (int p = 0; p < chunk.num_pairs; ++p) {
    const std::uint8_t* const pairs = p == 0 ? chunk.first : chunk.weights + p * Pairs::kBytes;
    for (int quarter = 0; quarter < kQuarters; ++quarter) {
      __m256 w[2][2];
      Pairs::template expand<0>(pairs, quarter, w[0]);
      Pairs::template expand<1>(pairs, quarter, w[1]);
      float* const to = expanded + (quarter * kPanelChunk + 2 * p) * kSlots;
      for (int i = 0; i < 4; ++i) _mm256_store_ps(to + 8 * i, w[i / 2][i % 2]);
    }
  }
}

/// Columns [begin, end) in float32, times `factor`, a power of two: block after block of kPanelChunk columns, and in
/// each row after row.
M2_AVX2 void expand_rows(const PanelProduct& product, int begin, int end, float factor, float* to) {
  for (; begin < end; begin += kPanelChunk) {
    const int num_columns = std::min(kPanelChunk, end - begin);
    for (int m = 0; m < product.num_rows; ++m, to += kPanelChunk) {
      const Bf16* const from = product.x_MK + std::int64_t(m) * product.num_columns + begin;
      int k = 0;
      for (; k + 8 <= num_columns; k += 8) {
        const __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + k)));
        _mm256_store_ps(to + k, _mm256_mul_ps(Bf16Pairs::first(bits), _mm256_set1_ps(factor)));
      }
      for (; k < num_columns; ++k) to[k] = float(from[k]) * factor;
    }
  }
}

template <class Pairs>
M2_AVX2 void multiply_few(const Chunk& chunk, int num_rows, float* totals) {
  const int tile_rows = even_tile(num_rows, Pairs::kFewTileRows);
  Chunk tile = chunk;
  for (int m = 0; m < num_rows; m += tile_rows, tile.x_MK += tile_rows * kPanelChunk) {
    float* const sums = totals + m * kPanelRows;
    switch (std::min(tile_rows, num_rows - m)) {
      case 1:
        multiply_few<Pairs, 1, 4>(tile, sums);
        break;
      case 2:
        multiply_few<Pairs, 2, 2>(tile, sums);
        break;
      case 3:
        multiply_few<Pairs, 3, 1>(tile, sums);
        break;
      case 4:
        multiply_few<Pairs, 4, 1>(tile, sums);
        break;
      case 5:
        multiply_few<Pairs, 5, 1>(tile, sums);
        break;
      default:
        multiply_few<Pairs, 6, 1>(tile, sums);
    }
  }
}

M2_AVX2 void multiply_expanded(const Chunk& chunk, int num_rows, float* totals) {
  const int tile_rows = even_tile(num_rows, kTileRows);
  for (int quarter = 0; quarter < kQuarters; ++quarter) {
    Chunk tile = chunk;
    for (int m = 0; m < num_rows; m += tile_rows, tile.x_MK += tile_rows * kPanelChunk) {
      float* const sums = totals + m * kPanelRows;
      switch (std::min(tile_rows, num_rows - m)) {
        case 1:
          multiply_expanded<1>(tile, quarter, sums);
          break;
        case 2:
          multiply_expanded<2>(tile, quarter, sums);
          break;
        case 3:
          multiply_expanded<3>(tile, quarter, sums);
          break;
        case 4:
          multiply_expanded<4>(tile, quarter, sums);
          break;
        case 5:
          multiply_expanded<5>(tile, quarter, sums);
          break;
        default:
          multiply_expanded<kTileRows>(tile, quarter, sums);
      }
    }
  }
}

/// The row of each slot.
template <class Pairs>
constexpr std::array<int, kPanelRows> rows() {
  std::array<int, kPanelRows> row_N{};
  for (int slot = 0; slot < kPanelRows; ++slot) row_N[slot] = Pairs::row(slot);
  return row_N;
}

template <class Pairs>
void store(const PanelProduct& product, const PanelOperand& operand, const float* totals) {
  static constexpr std::array<int, kPanelRows> kRow = rows<Pairs>();
  for (int m = 0; m < product.num_rows; ++m) {
    const std::int64_t begin = m * product.y_row_stride;
    float sum_N[kPanelRows];
    for (int slot = 0; slot < kPanelRows; ++slot) sum_N[kRow[slot]] = totals[m * kPanelRows + slot];
    if (product.y_is_float) {
      std::copy_n(sum_N, kPanelRows, static_cast<float*>(operand.y_MN) + begin);
    } else {
      for (int n = 0; n < kPanelRows; ++n) static_cast<Bf16*>(operand.y_MN)[begin + n] = Bf16(sum_N[n]);
    }
  }
}

/// What a thread works in: at most 320 KB, which stay in a second-level cache of 512 KB.
struct Memory {
  alignas(64) float totals[kMaxPanels][kPanelMaxRows * kPanelRows];
  alignas(64) float x_MK[kPanelMaxRows * kPanelChunk];
  alignas(64) float expanded[kPanelChunk * kPanelRows];
  std::uint8_t first_pair[kLineBytes + Fp8Pairs::kBytes];  ///< of an FP8 panel, behind the panel's last byte
};

template <class Pairs>
const std::uint8_t* columns_of(const PanelOperand& operand, int begin) {
  return static_cast<const std::uint8_t*>(operand.panel) + std::int64_t(begin) / 2 * Pairs::kBytes;
}

/// Where the first pair of a panel is read: in FP8 a copy, with the panel's last byte in front of it.
template <class Pairs>
const std::uint8_t* first_pair(const PanelProduct& product, const PanelOperand& operand, Memory& memory) {
  const std::uint8_t* const panel = columns_of<Pairs>(operand, 0);
  if constexpr (Pairs::kIsFirstApart) {
    std::uint8_t* const copy = memory.first_pair + kLineBytes;
    copy[-1] = columns_of<Pairs>(operand, product.num_columns)[-1];
    std::copy_n(panel, Pairs::kBytes, copy);
    return copy;
  }
  return panel;
}

/// totals += x * panel for the columns [begin, end) of one panel, chunk by chunk: each comes from memory once for all
/// rows. `next`: what will be multiplied by after them.
template <class Pairs>
M2_AVX2 void multiply_panel(const PanelProduct& product, const PanelOperand& operand, int begin, int end,
                            const std::uint8_t* next, Memory& memory, float* totals) {
  const bool is_few = product.num_rows <= Pairs::kFewRows;
  const int most_columns = is_few ? 2 * kFewChunkBytes / Pairs::kBytes : kPanelChunk;
  for (int column = begin; column < end; column += most_columns) {
    const int num_columns = std::min(most_columns, end - column);
    const float scale = operand.scale_inv_C ? operand.scale_inv_C[column / kPanelChunk] * Fp8Pairs::kSum : 1.0f;
    const int block = (column - begin) / kPanelChunk;
    const std::uint8_t* const weights = columns_of<Pairs>(operand, column);
    const Chunk chunk{.x_MK = memory.x_MK + block * product.num_rows * kPanelChunk + column % kPanelChunk,
                      .weights = weights,
                      .first = column == 0 ? first_pair<Pairs>(product, operand, memory) : weights,
                      .next = column + num_columns < end ? columns_of<Pairs>(operand, column + num_columns) : next,
                      .expanded = memory.expanded,
                      .num_pairs = num_columns / 2,
                      .scale = operand.scale_inv_C ? &scale : nullptr};
    if (is_few) {
      multiply_few<Pairs>(chunk, product.num_rows, totals);
    } else {
      expand<Pairs>(chunk, memory.expanded);
      multiply_expanded(chunk, product.num_rows, totals);
    }
  }
}

/// As many columns at a time as memory.x_MK holds of the rows, which are expanded once for all panels.
template <class Pairs>
M2_AVX2 void multiply_all(const PanelProduct& product, Memory& memory) {
  const int most_columns = kPanelMaxRows / product.num_rows * kPanelChunk;
  for (int i = 0; i < product.num_panels; ++i) {
    std::fill_n(memory.totals[i], product.num_rows * kPanelRows, 0.0f);
    if constexpr (Pairs::kIsFirstApart) {  // first_pair() will want the last byte
      const std::uint8_t* const end = columns_of<Pairs>(product.panel_P[i], product.num_columns);
      _mm_prefetch(reinterpret_cast<const char*>(end - 1), _MM_HINT_T0);
    }
  }
  for (int begin = 0; begin < product.num_columns; begin += most_columns) {
    const int end = std::min(begin + most_columns, product.num_columns);
    expand_rows(product, begin, end, Pairs::kActivation, memory.x_MK);
    // After the last columns of the last panel: what follows it in memory, which some thread will need soon.
    const bool is_end = end == product.num_columns;
    for (int i = 0; i < product.num_panels; ++i) {
      const bool is_last = i + 1 == product.num_panels;
      const PanelOperand& next = product.panel_P[!is_last ? i + 1 : is_end ? i : 0];
      multiply_panel<Pairs>(product, product.panel_P[i], begin, end, columns_of<Pairs>(next, is_last ? end : begin),
                            memory, memory.totals[i]);
    }
  }
  for (int i = 0; i < product.num_panels; ++i) store<Pairs>(product, product.panel_P[i], memory.totals[i]);
}

void multiply_panels(const PanelProduct& product) {
  Memory memory;
  if (product.panel_P[0].scale_inv_C != nullptr) {
    multiply_all<Fp8Pairs>(product, memory);
  } else {
    multiply_all<Bf16Pairs>(product, memory);
  }
}

}  // namespace

MultiplyPanels panel_kernel_avx2() {
  static const bool is_there = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return is_there ? &multiply_panels : nullptr;
}

}  // namespace m2

#else

namespace m2 {

MultiplyPanels panel_kernel_avx2() { return nullptr; }

}  // namespace m2
#endif
