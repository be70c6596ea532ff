// SPDX-License-Identifier: Apache-2.0
#include "kernels/panel_gemm.hpp"

#if defined(__x86_64__) && !defined(__CUDACC__)
#include <immintrin.h>

#include <algorithm>
#include <array>

// Compiled for AVX2 function by function, so that nothing of it leaks into code for other processors.
#define M2_AVX2 __attribute__((target("avx2,fma")))
#define M2_AVX2_INLINE M2_AVX2 __attribute__((always_inline)) inline

namespace m2 {
namespace {

/// 12 sums, 2 vectors of weights and 1 of activations fill 15 of 16 registers.
constexpr int kTileRows = 6;
/// A panel's rows are worked on in quarters of two registers: those that 32 bytes of an FP8 panel hold a pair of
/// columns of. Sums stand quarter after quarter, register after register: a panel's row has a slot among them.
constexpr int kQuarters = 4;
constexpr int kSlots = kPanelRows / kQuarters;

/// How far ahead of the multiplication weights are fetched, past the outer caches: they are used once. Measured on
/// Zen 1, two cores, one row in bfloat16: 22 to 27 GB/s, where fetching into all caches reaches 18 to 22.
constexpr int kFetch_bytes = 1024;

/// Pairs of columns of a panel in bfloat16. A bfloat16 is the upper half of a float: of a pair the second one only
/// needs its neighbour masked away.
struct Bf16Pairs {
  static constexpr int kBytes = 4 * kPanelRows;
  static constexpr float kActivation = 1.0f;
  static constexpr bool kHalfIsColumn = false;  // each of the two vectors that load() gives has eight rows' pairs
  static constexpr int row(int slot) { return slot; }

  M2_AVX2_INLINE static void load(const std::uint8_t* pairs, int quarter, __m256i (&halves)[2]) {
    const auto* from = reinterpret_cast<const __m256i*>(pairs + 4 * kSlots * quarter);
    halves[0] = _mm256_loadu_si256(from);
    halves[1] = _mm256_loadu_si256(from + 1);
  }
  M2_AVX2_INLINE static __m256 first(__m256i pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }
  M2_AVX2_INLINE static __m256 second(__m256i pairs) {
    return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(int(0xffff0000u))));
  }
};

/// Pairs of columns of a panel in FP8. The bits of a float8_e4m3fn, moved to where a float has its sign, the lower end
/// of its exponent and the upper of its fraction, are those of its value times 2^-120: also for denormal numbers, but
/// not for NaN, which no panel holds. Activations take 2^64 of that, the sum of a block the rest. A multiplication by
/// 16 with sign moves the lower bytes of 16 bits, a shift the upper ones; with Zen 1's one unit for shifts that is 8.4
/// GB/s a core in cache (two shifts 6.9, tables for halves of a byte 6.3).
struct Fp8Pairs {
  static constexpr int kBytes = 2 * kPanelRows;
  static constexpr float kActivation = 0x1p64f, kSum = 0x1p56f;
  static constexpr bool kHalfIsColumn = true;  // each has one column of all rows: even places first, odd ones second
  static constexpr int row(int slot) {
    const int place = slot / kSlots * kSlots + slot % 8 * 2 + slot % kSlots / 8;
    int row = 0;
    while (fp8_panel_place(row) != place) ++row;
    return row;
  }

  M2_AVX2_INLINE static void load(const std::uint8_t* pairs, int quarter, __m256i (&halves)[2]) {
    const __m256i value = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(pairs + 2 * kSlots * quarter));
    halves[0] = _mm256_maddubs_epi16(_mm256_set1_epi16(16), value);
    halves[1] = _mm256_srai_epi16(value, 4);
  }
  M2_AVX2_INLINE static __m256 first(__m256i words) { return second(_mm256_slli_epi32(words, 16)); }
  M2_AVX2_INLINE static __m256 second(__m256i words) {
    return _mm256_castsi256_ps(_mm256_and_si256(words, _mm256_set1_epi32(int(0x87f00000u))));
  }
};

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
  M2_AVX2_INLINE void add(int m, int j, const float* x, __m256 w) {
    value[m][j] = _mm256_fmadd_ps(_mm256_broadcast_ss(x), w, value[m][j]);
  }
};

/// A stretch of at most kPanelChunk columns of a panel, and the activations in float32 that belong to it.
struct Chunk {
  const float* x_MK;            ///< rows of kPanelChunk
  const std::uint8_t* weights;  ///< as they are
  const float* expanded;        ///< or in float32: quarter after quarter, column after column
  int num_pairs;
  const float* scale;  ///< if not null: the products are summed alone and then multiplied by it
};

/// totals += x * chunk for few rows: weights are expanded in registers.
template <class Pairs, int kRows, int kCount>
M2_AVX2 void multiply_few(const Chunk& chunk, float* totals) {
  for (int quarter = 0; quarter < kQuarters; quarter += kCount) {
    Sums<kRows, kCount> sums;
    sums.begin(totals, quarter, chunk.scale);
    for (int p = 0; p < chunk.num_pairs; ++p) {
      const std::uint8_t* const pairs = chunk.weights + p * Pairs::kBytes;
      if (quarter == 0) {
        for (int line = 0; line < Pairs::kBytes; line += 64)
          _mm_prefetch(reinterpret_cast<const char*>(pairs + kFetch_bytes + line), _MM_HINT_NTA);
      }
#pragma GCC unroll 8
      for (int i = 0; i < kCount; ++i) {
        __m256i halves[2];
        Pairs::load(pairs, quarter + i, halves);
#pragma GCC unroll 8
        for (int half = 0; half < 2; ++half) {
          const __m256 first = Pairs::first(halves[half]), second = Pairs::second(halves[half]);
#pragma GCC unroll 8
          for (int m = 0; m < kRows; ++m) {
            const float* const x = chunk.x_MK + m * kPanelChunk + 2 * p;
            if constexpr (Pairs::kHalfIsColumn) {
              sums.add(m, 2 * i, x + half, first);
              sums.add(m, 2 * i + 1, x + half, second);
            } else {
              sums.add(m, 2 * i + half, x, first);
              sums.add(m, 2 * i + half, x + 1, second);
            }
          }
        }
      }
    }
    sums.end(totals, quarter, chunk.scale);
  }
}

/// The same for one of many tiles of rows: weights come expanded.
template <int kRows>
M2_AVX2 void multiply_expanded(const Chunk& chunk, int quarter, float* totals) {
  const float* const w_KN = chunk.expanded + quarter * kPanelChunk * kSlots;
  Sums<kRows, 1> sums;
  sums.begin(totals, quarter, chunk.scale);
  for (int k = 0; k < 2 * chunk.num_pairs; ++k) {
    const __m256 w[2] = {_mm256_load_ps(w_KN + k * kSlots), _mm256_load_ps(w_KN + k * kSlots + 8)};
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
      const float* const x = chunk.x_MK + m * kPanelChunk + k;
      sums.add(m, 0, x, w[0]);
      sums.add(m, 1, x, w[1]);
    }
  }
  sums.end(totals, quarter, chunk.scale);
}

template <class Pairs>
M2_AVX2 void expand(const Chunk& chunk, float* expanded) {
  for (int p = 0; p < chunk.num_pairs; ++p) {
    for (int quarter = 0; quarter < kQuarters; ++quarter) {
      __m256i halves[2];
      Pairs::load(chunk.weights + p * Pairs::kBytes, quarter, halves);
      float* const to = expanded + (quarter * kPanelChunk + 2 * p) * kSlots;
      constexpr int kHalf = Pairs::kHalfIsColumn ? kSlots : 8, kOther = Pairs::kHalfIsColumn ? 8 : kSlots;
      for (int half = 0; half < 2; ++half) {
        _mm256_store_ps(to + half * kHalf, Pairs::first(halves[half]));
        _mm256_store_ps(to + half * kHalf + kOther, Pairs::second(halves[half]));
      }
    }
  }
}

/// The columns of a chunk in float32, times `factor`, a power of two.
M2_AVX2 void expand_rows(const PanelProduct& product, int begin, int num_columns, float factor, float* x_MK) {
  for (int m = 0; m < product.num_rows; ++m) {
    const Bf16* const from = product.x_MK + std::int64_t(m) * product.num_columns + begin;
    float* const to = x_MK + m * kPanelChunk;
    int k = 0;
    for (; k + 8 <= num_columns; k += 8) {
      const __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + k)));
      _mm256_store_ps(to + k, _mm256_mul_ps(Bf16Pairs::first(bits), _mm256_set1_ps(factor)));
    }
    for (; k < num_columns; ++k) to[k] = float(from[k]) * factor;
  }
}

template <class Pairs>
M2_AVX2 void multiply_chunk(const Chunk& chunk, int num_rows, float* totals) {
  switch (num_rows) {
    case 1:
      return multiply_few<Pairs, 1, 4>(chunk, totals);
    case 2:
      return multiply_few<Pairs, 2, 2>(chunk, totals);
    case 3:
      return multiply_few<Pairs, 3, 1>(chunk, totals);
    case 4:
      return multiply_few<Pairs, 4, 1>(chunk, totals);
    case 5:
      return multiply_few<Pairs, 5, 1>(chunk, totals);
    default:
      return multiply_few<Pairs, kTileRows, 1>(chunk, totals);
  }
}

M2_AVX2 void multiply_expanded(const Chunk& chunk, int num_rows, int quarter, float* totals) {
  switch (num_rows) {
    case 1:
      return multiply_expanded<1>(chunk, quarter, totals);
    case 2:
      return multiply_expanded<2>(chunk, quarter, totals);
    case 3:
      return multiply_expanded<3>(chunk, quarter, totals);
    case 4:
      return multiply_expanded<4>(chunk, quarter, totals);
    case 5:
      return multiply_expanded<5>(chunk, quarter, totals);
    default:
      return multiply_expanded<kTileRows>(chunk, quarter, totals);
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
void store(const PanelProduct& product, const float* totals) {
  static constexpr std::array<int, kPanelRows> kRow = rows<Pairs>();
  for (int m = 0; m < product.num_rows; ++m) {
    const std::int64_t begin = m * product.y_row_stride;
    float sum_N[kPanelRows];
    for (int slot = 0; slot < kPanelRows; ++slot) sum_N[kRow[slot]] = totals[m * kPanelRows + slot];
    if (product.y_is_float) {
      std::copy_n(sum_N, kPanelRows, static_cast<float*>(product.y_MN) + begin);
    } else {
      for (int n = 0; n < kPanelRows; ++n) static_cast<Bf16*>(product.y_MN)[begin + n] = Bf16(sum_N[n]);
    }
  }
}

/// What a thread works in: together with a panel's chunk it stays in the second-level cache.
struct Memory {
  alignas(64) float totals[kPanelMaxRows * kPanelRows];
  alignas(64) float x_MK[kPanelMaxRows * kPanelChunk];
  alignas(64) float expanded[kPanelChunk * kPanelRows];
};

/// Chunk by chunk over the columns: each comes from memory once for all rows.
template <class Pairs>
M2_AVX2 void multiply_all(const PanelProduct& product, Memory& memory) {
  std::fill_n(memory.totals, product.num_rows * kPanelRows, 0.0f);
  for (int begin = 0; begin < product.num_columns; begin += kPanelChunk) {
    const int num_columns = std::min(kPanelChunk, product.num_columns - begin);
    const float scale = product.scale_inv_C ? product.scale_inv_C[begin / kPanelChunk] * Fp8Pairs::kSum : 1.0f;
    const Chunk chunk{.x_MK = memory.x_MK,
                      .weights = static_cast<const std::uint8_t*>(product.panel) + begin / 2 * Pairs::kBytes,
                      .expanded = memory.expanded,
                      .num_pairs = num_columns / 2,
                      .scale = product.scale_inv_C ? &scale : nullptr};
    expand_rows(product, begin, num_columns, Pairs::kActivation, memory.x_MK);
    if (product.num_rows <= kTileRows) {
      multiply_chunk<Pairs>(chunk, product.num_rows, memory.totals);
      continue;
    }
    expand<Pairs>(chunk, memory.expanded);
    for (int quarter = 0; quarter < kQuarters; ++quarter) {
      for (int m = 0; m < product.num_rows; m += kTileRows) {
        Chunk tile = chunk;
        tile.x_MK += m * kPanelChunk;
        multiply_expanded(tile, std::min(kTileRows, product.num_rows - m), quarter, memory.totals + m * kPanelRows);
      }
    }
  }
  store<Pairs>(product, memory.totals);
}

void multiply_panel(const PanelProduct& product) {
  Memory memory;
  if (product.scale_inv_C != nullptr) {
    multiply_all<Fp8Pairs>(product, memory);
  } else {
    multiply_all<Bf16Pairs>(product, memory);
  }
}

}  // namespace

MultiplyPanel panel_kernel_avx2() {
  static const bool is_there = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return is_there ? &multiply_panel : nullptr;
}

}  // namespace m2

#else

namespace m2 {

MultiplyPanel panel_kernel_avx2() { return nullptr; }

}  // namespace m2
#endif
