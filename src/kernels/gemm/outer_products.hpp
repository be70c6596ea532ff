// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "kernels/common/simd.hpp"
#include "kernels/common/with_rows.hpp"

// What the products of a backward pass share on hosts: sum[m][k] += factor(m, i) * row[i][k], i ascending in one chain
// of fused operations, for blocks that stay in a core's second-level cache. Factors are broadcast and rows are
// contiguous, so no operand is transposed. Sums lie in memory between blocks of a chain, which keeps their bits.

namespace m2 {

inline constexpr int kProductTileRows = 6;  // of sums, held in registers with a stripe of columns
#ifdef M2_HAS_AVX512
inline constexpr int kProductLanes = 4;  // 24 of 32 registers hold the sums
#else
inline constexpr int kProductLanes = 1;  // 12 of 16
#endif
inline constexpr int kProductStripe = kProductLanes * kLanes;

inline constexpr int kOuterProductRows = 96;  // m
inline constexpr int kProductColumns = 128;   // k: FP8 has one scale for each row of a block
inline constexpr int kProductChain = 256;     // i: a stripe of rows takes half of a first-level cache
static_assert(kOuterProductRows % kProductTileRows == 0 && kProductColumns % kProductStripe == 0 &&
              kFp8Block % kProductColumns == 0);

/// Factors of a block row by row, m outside: as dy lies where the chain runs over its columns. The distance of two rows
/// is no power of two, which would put them all into the same lines of the cache.
struct FactorsByRow {
  static constexpr int kRowStride = kProductChain + kLanes, kStep = 1;
};
/// i outside: as dy lies where the chain runs over its rows.
struct FactorsByStep {
  static constexpr int kRowStride = 1, kStep = kOuterProductRows;
};

/// The operands of a block in float32, and its sums: 275 KB, of which small shapes touch little.
struct OuterProductMemory {
  alignas(64) float factor[kOuterProductRows * FactorsByRow::kRowStride];
  alignas(64) float row[kProductColumns / kProductStripe][kProductChain * kProductStripe];  // stripe by stripe
  alignas(64) float sum[kOuterProductRows][kProductColumns];
};

/// to[j] = from[j] for j < count.
template <class T>
void expand_row(const T* from, int count, float* to) {
  int j = 0;
  for (; j + kLanes <= count; j += kLanes) store_lanes(load_lanes(from + j), to + j);
  for (; j < count; ++j) to[j] = float(from[j]);
}

/// row[i][k] = from[k] * scale, rounded once, for k < count; zeros up to the end of the stripe.
template <class T>
void expand_into_stripes(const T* from, int count, float scale, int i, OuterProductMemory& memory) {
  const Lanes scales = broadcast(scale), zero = broadcast(0.0f);
  for (int k = 0; k < count; k += kLanes) {
    const int rest = count - k;
    const Lanes values = rest >= kLanes ? load_lanes(from + k) : load_lanes(from + k, rest);
    store_lanes(fused_multiply_add(values, scales, zero),
                &memory.row[k / kProductStripe][i * kProductStripe + k % kProductStripe]);
  }
}

/// One tile of sums. The rows are a pack because GCC unrolls it for certain, and only then holds `partial` in
/// registers.
template <class Factors, int... kRow>
void add_tile(std::integer_sequence<int, kRow...>, const float* factor, const float* row, int count, float* sum) {
  Lanes partial[sizeof...(kRow)][kProductLanes];
  const auto load_row = [](const float* from, Lanes(&to)[kProductLanes]) {
#pragma GCC unroll 4
    for (int v = 0; v < kProductLanes; ++v) to[v] = load_lanes(from + v * kLanes);
  };
  const auto add_row = [](float a, const Lanes(&b)[kProductLanes], Lanes(&to)[kProductLanes]) {
#pragma GCC unroll 4
    for (int v = 0; v < kProductLanes; ++v) to[v] = fused_multiply_add(broadcast(a), b[v], to[v]);
  };
  const auto store_row = [](const Lanes(&from)[kProductLanes], float* to) {
#pragma GCC unroll 4
    for (int v = 0; v < kProductLanes; ++v) store_lanes(from[v], to + v * kLanes);
  };
  (load_row(sum + kRow * kProductColumns, partial[kRow]), ...);
  for (int i = 0; i < count; ++i, factor += Factors::kStep, row += kProductStripe) {
    Lanes b[kProductLanes];
    load_row(row, b);
    (add_row(factor[kRow * Factors::kRowStride], b, partial[kRow]), ...);
  }
  (store_row(partial[kRow], sum + kRow * kProductColumns), ...);
}

/// sum[m][k] += factor(m, i) * row[i][k] for m < num_rows, i < count, and k < num_columns rounded up to stripes.
template <class Factors>
void add_outer_products(int num_rows, int count, int num_columns, OuterProductMemory& memory) {
  for (int k = 0; k < num_columns; k += kProductStripe) {
    for (int m = 0; m < num_rows; m += kProductTileRows) {
      with_rows<1, kProductTileRows>(std::min(kProductTileRows, num_rows - m), [&](auto rows) {
        add_tile<Factors>(std::make_integer_sequence<int, rows()>{}, memory.factor + m * Factors::kRowStride,
                          memory.row[k / kProductStripe], count, &memory.sum[m][k]);
      });
    }
  }
}

}  // namespace m2
