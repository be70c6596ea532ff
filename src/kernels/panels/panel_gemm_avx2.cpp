// SPDX-License-Identifier: Apache-2.0
#include "kernels/panels/panel_gemm.hpp"

#if defined(__x86_64__) && !defined(__CUDACC__)
#include <algorithm>
#include <array>

#include "kernels/panels/panel_tiles_avx2.hpp"

namespace m2 {
namespace {

/// Of a panel; then the next piece has room beside it in the first-level cache.
constexpr int kFewChunkBytes = 8192;
static_assert(2 * kFewChunkBytes / Fp8Pairs::kBytes == kPanelChunk, "a block of FP8 is summed alone");

M2_AVX2_INLINE void store_columns(const __m256 (&w)[2][2], float* to) {
  for (int i = 0; i < 4; ++i) _mm256_store_ps(to + 8 * i, w[i / 2][i % 2]);
}

/// A pair of columns in float32; `to` is where its first column and quarter begin.
M2_AVX2_INLINE void expand_pair(Bf16Pairs, const std::uint8_t* pair, float* to) {
  for (int quarter = 0; quarter < kQuarters; ++quarter) {
    __m256 w[2][2];
    Bf16Pairs::expand<0>(pair, quarter, w[0]);
    Bf16Pairs::expand<1>(pair, quarter, w[1]);
    store_columns(w, to + quarter * kPanelChunk * kSlots);
  }
}

M2_AVX2_INLINE void expand_pair(Fp8Pairs, const std::uint8_t* pair, float* to) {
  alignas(kCacheLineBytes) Halves halves[kQuarters];
  store_halves<kQuarters>(pair, 0, halves);
  M2_STORED(halves);
  for (int quarter = 0; quarter < kQuarters; ++quarter) {
    __m256 w[2][2];
    Fp8Pairs::expand<0>(halves[quarter], w[0]);
    Fp8Pairs::expand<1>(halves[quarter], w[1]);
    store_columns(w, to + quarter * kPanelChunk * kSlots);
  }
}

template <class Pairs>
M2_AVX2 void expand_chunk_avx2(const Avx2Chunk& chunk, float* expanded) {
  for (int p = 0; p < chunk.num_pairs; ++p)
    expand_pair(Pairs{}, chunk.weights + p * Pairs::kBytes, expanded + 2 * p * kSlots);
}

/// Columns [begin, end) in float32: block after block of kPanelChunk columns, and in each row after row.
M2_AVX2 void expand_rows(const PanelProduct& product, int begin, int end, float* to) {
  for (; begin < end; begin += kPanelChunk) {
    const int num_columns = std::min(kPanelChunk, end - begin);
    for (int m = 0; m < product.num_rows; ++m, to += kPanelChunk) {
      const Bf16* const from = product.x_MK + std::int64_t(m) * product.num_columns + begin;
      int k = 0;
      for (; k + 8 <= num_columns; k += 8) {
        const __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + k)));
        _mm256_store_ps(to + k, Bf16Pairs::first(bits));
      }
      for (; k < num_columns; ++k) to[k] = float(from[k]);
    }
  }
}

template <class Pairs>
constexpr std::array<int, kPanelRows> rows_of_slots() {
  std::array<int, kPanelRows> row_N{};
  for (int slot = 0; slot < kPanelRows; ++slot) row_N[slot] = Pairs::row(slot);
  return row_N;
}

template <class Pairs>
void store_avx2(const PanelProduct& product, const PanelOperand& operand, const float* totals) {
  static constexpr std::array<int, kPanelRows> kRow = rows_of_slots<Pairs>();
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
struct Avx2Memory {
  alignas(64) float totals[kMaxPanels][kPanelMaxRows * kPanelRows];
  alignas(64) float x_MK[kPanelMaxRows * kPanelChunk];
  alignas(64) float expanded[kPanelChunk * kPanelRows];
};

template <class Pairs>
const std::uint8_t* columns_of(const PanelOperand& operand, int begin) {
  return static_cast<const std::uint8_t*>(operand.panel) + std::int64_t(begin) / 2 * Pairs::kBytes;
}

/// totals += x * panel for the columns [begin, end) of one panel, chunk by chunk: each comes from memory once for all
/// rows. `next`: what will be multiplied by after them.
template <class Pairs>
M2_AVX2 void multiply_panel_avx2(const PanelProduct& product, const PanelOperand& operand, int begin, int end,
                                 const std::uint8_t* next, Avx2Memory& memory, float* totals) {
  const bool is_few = product.num_rows <= Pairs::kFewRows;
  const int most_columns = is_few ? 2 * kFewChunkBytes / Pairs::kBytes : kPanelChunk;
  for (int column = begin; column < end; column += most_columns) {
    const int num_columns = std::min(most_columns, end - column);
    const float scale = operand.scale_inv_C ? operand.scale_inv_C[column / kPanelChunk] * Fp8Pairs::kSum : 1.0f;
    const int block = (column - begin) / kPanelChunk;
    const Avx2Chunk chunk{.x_MK = memory.x_MK + block * product.num_rows * kPanelChunk + column % kPanelChunk,
                          .weights = columns_of<Pairs>(operand, column),
                          .next = column + num_columns < end ? columns_of<Pairs>(operand, column + num_columns) : next,
                          .expanded = memory.expanded,
                          .num_pairs = num_columns / 2,
                          .scale = operand.scale_inv_C ? &scale : nullptr};
    if (is_few) {
      multiply_few<Pairs>(chunk, product.num_rows, totals);
    } else {
      expand_chunk_avx2<Pairs>(chunk, memory.expanded);
      multiply_expanded(chunk, product.num_rows, totals);
    }
  }
}

/// As many columns at a time as memory.x_MK holds of the rows, which are expanded once for all panels.
template <class Pairs>
M2_AVX2 void multiply_all_avx2(const PanelProduct& product, Avx2Memory& memory) {
  const int most_columns = kPanelMaxRows / product.num_rows * kPanelChunk;
  for (int i = 0; i < product.num_panels; ++i) std::fill_n(memory.totals[i], product.num_rows * kPanelRows, 0.0f);
  for (int begin = 0; begin < product.num_columns; begin += most_columns) {
    const int end = std::min(begin + most_columns, product.num_columns);
    expand_rows(product, begin, end, memory.x_MK);
    // After the last columns of the last panel: what follows it in memory, which some thread will need soon.
    const bool is_end = end == product.num_columns;
    for (int i = 0; i < product.num_panels; ++i) {
      const bool is_last = i + 1 == product.num_panels;
      const PanelOperand& next = product.panel_P[!is_last ? i + 1 : is_end ? i : 0];
      multiply_panel_avx2<Pairs>(product, product.panel_P[i], begin, end,
                                 columns_of<Pairs>(next, is_last ? end : begin), memory, memory.totals[i]);
    }
  }
  for (int i = 0; i < product.num_panels; ++i) store_avx2<Pairs>(product, product.panel_P[i], memory.totals[i]);
}

void multiply_panels_avx2(const PanelProduct& product) {
  Avx2Memory memory;
  if (product.panel_P[0].scale_inv_C != nullptr) {
    multiply_all_avx2<Fp8Pairs>(product, memory);
  } else {
    multiply_all_avx2<Bf16Pairs>(product, memory);
  }
}

}  // namespace

MultiplyPanels panel_kernel_avx2() {
  static const bool is_there =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  return is_there ? &multiply_panels_avx2 : nullptr;
}

}  // namespace m2

#else

namespace m2 {

MultiplyPanels panel_kernel_avx2() { return nullptr; }

}  // namespace m2
#endif
