// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <utility>

#include "kernels/common/simd.hpp"
#include "kernels/common/with_rows.hpp"

// Products of small matrices in the first caches, for attention on hosts.

namespace m2 {

/// Rows multiplied at once.
inline constexpr int kProductRows = 6;
/// Lanes of columns at once.
#ifdef M2_HAS_AVX512
inline constexpr int kStripeLanes = 4;  // 24 of 32 registers hold the sums
#else
inline constexpr int kStripeLanes = 1;  // 12 of 16
#endif
inline constexpr int kStripe = kStripeLanes * kLanes;

/// The least multiple of kStripe that is not below `count`.
inline int whole_stripes(int count) { return (count + kStripe - 1) / kStripe * kStripe; }

/// Element (r, i) is first[r * row_stride + i * column_stride].
struct LeftMatrix {
  const float* first;
  int row_stride;
  int column_stride = 1;
};

/// Element (i, j) is first[i * row_stride + j].
template <class B = float, bool kFetchNext = false>
struct RightMatrix {
  const B* first;
  int row_stride;
  const B* next = nullptr;  ///< with kFetchNext a contiguous matrix that is fetched while this one is multiplied
};

/// sum[r][j] = (kFromZero ? 0 : sum[r][j]) + sum over i < count of a[r][i] * b[i][j], i ascending in one chain of fused
/// operations; columns j up to a multiple of kStripe. The rows are a pack because GCC unrolls it for certain, and only
/// then holds `partial` in registers.
template <bool kFromZero, class B, bool kFetchNext, int... kRow>
KOKKOS_FORCEINLINE_FUNCTION void add_products(std::integer_sequence<int, kRow...>, LeftMatrix a, int count,
                                              RightMatrix<B, kFetchNext> b, int num_columns, float* sum,
                                              int sum_stride) {
  const auto* next = reinterpret_cast<const char*>(b.next);
  for (int column = 0; column < num_columns; column += kStripe) {
    Lanes partial[sizeof...(kRow)][kStripeLanes];
    const auto start_row = [&](Lanes(&to)[kStripeLanes], const float* from) {
#pragma GCC unroll 4
      for (int v = 0; v < kStripeLanes; ++v) to[v] = kFromZero ? broadcast(0.0f) : load_lanes(from + v * kLanes);
    };
    const auto add_row = [](float factor, const Lanes(&from)[kStripeLanes], Lanes(&to)[kStripeLanes]) {
#pragma GCC unroll 4
      for (int v = 0; v < kStripeLanes; ++v) to[v] = fused_multiply_add(broadcast(factor), from[v], to[v]);
    };
    const auto store_row = [](const Lanes(&from)[kStripeLanes], float* to) {
#pragma GCC unroll 4
      for (int v = 0; v < kStripeLanes; ++v) store_lanes(from[v], to + v * kLanes);
    };
    (start_row(partial[kRow], sum + kRow * sum_stride + column), ...);
    for (int i = 0; i < count; ++i) {
      constexpr int kShare = kStripe * sizeof(B);  // of a line, the same one twice
      if constexpr (kFetchNext) {
        for (int line = 0; line < kShare; line += 64) __builtin_prefetch(next + line);
        next += kShare;
      }
      Lanes row[kStripeLanes];
#pragma GCC unroll 4
      for (int v = 0; v < kStripeLanes; ++v) row[v] = load_lanes(b.first + i * b.row_stride + column + v * kLanes);
      (add_row(a.first[kRow * a.row_stride + i * a.column_stride], row, partial[kRow]), ...);
    }
    (store_row(partial[kRow], sum + kRow * sum_stride + column), ...);
  }
}

/// Calls body(first, rows) for panels that cover rows 0 .. count - 1; `rows` is what add_products() takes.
template <class Body>
void for_row_panels(int count, const Body& body) {
  for (int first = 0; first < count; first += kProductRows) {
    with_rows<1, kProductRows>(std::min(kProductRows, count - first),
                               [&](auto rows) { body(first, std::make_integer_sequence<int, rows()>{}); });
  }
}

}  // namespace m2
