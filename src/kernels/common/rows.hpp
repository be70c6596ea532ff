// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Kokkos_Core.hpp>
#include <string_view>
#include <type_traits>

#include "core/error.hpp"
#include "core/views.hpp"

// One team per row. On a host a team is one thread that works on tiles of kRowTile elements, on a device several warps.
// Either way the order of a row's float operations depends on its length only: not on other rows, threads or ranks.

namespace m2 {

using RowPolicy = Kokkos::TeamPolicy<ExecSpace>;
using RowMember = RowPolicy::member_type;

inline constexpr bool kRunsOnHost = std::is_same_v<ExecSpace, HostExecSpace>;

/// Elements of a tile on a host: four AVX-512 registers of float. Loops over fewer are unrolled by GCC before they
/// become vector code.
inline constexpr int kRowTile = 64;

inline RowPolicy row_policy(const ExecSpace& exec, int num_rows) {
  return kRunsOnHost ? RowPolicy(exec, num_rows, 1, 1) : RowPolicy(exec, num_rows, 8, 32);
}

/// Throws Error unless the two sizes agree: "rms_norm: elements of weight_D (7) and columns of x_TD (8) must agree".
inline void require_same(std::string_view operation, std::string_view name, std::size_t size,
                         std::string_view other_name, std::size_t other_size) {
  M2_REQUIRE(size == other_size, "{}: {} ({}) and {} ({}) must agree", operation, name, size, other_name, other_size);
}

/// Throws Error unless two matrices have one shape.
template <class A, class B>
void require_same_shape(std::string_view operation, std::string_view name, const A& a, std::string_view other_name,
                        const B& b) {
  M2_REQUIRE(a.extent(0) == b.extent(0) && a.extent(1) == b.extent(1),
             "{}: {} ({} x {}) and {} ({} x {}) must have one shape", operation, name, a.extent(0), a.extent(1),
             other_name, b.extent(0), b.extent(1));
}

/// Row i of a row-major matrix of at least one column.
template <class View>
KOKKOS_FORCEINLINE_FUNCTION auto* row(const View& matrix, int i) {
  return &matrix(i, 0);
}

/// Calls body(first, width) for tiles that cover 0 .. count - 1, shared by the team. `width` is a
/// std::integral_constant, kRowTile or 1, so that the body's loops over a tile have a constant trip count: the body
/// takes it from decltype(width)::value, because its member functions are the host's.
template <class Body>
KOKKOS_FORCEINLINE_FUNCTION void row_tiles([[maybe_unused]] const RowMember& team, int count, const Body& body) {
  constexpr std::integral_constant<int, 1> one;
  if constexpr (kRunsOnHost) {
    constexpr std::integral_constant<int, kRowTile> whole_tile;
    int i = 0;
    for (; i + kRowTile <= count; i += kRowTile) body(i, whole_tile);
    for (; i < count; ++i) body(i, one);
  } else {
    Kokkos::parallel_for(Kokkos::TeamVectorRange(team, count), [&](int i) { body(i, one); });
  }
}

/// out[i] = T(value(i)). value(i) may read out[i], and nothing else of out: a tile is read before it is written.
template <class T, class Value>
KOKKOS_FORCEINLINE_FUNCTION void row_store(const RowMember& team, int count, T* out, const Value& value) {
  row_tiles(team, count, [&](int first, auto width) {
    constexpr int kWidth = decltype(width)::value;
    float tile[kWidth];
    for (int l = 0; l < kWidth; ++l) tile[l] = value(first + l);
    for (int l = 0; l < kWidth; ++l) out[first + l] = T(tile[l]);
  });
}

/// The sum of value(i) in Sum, known to the whole team. On a host element i goes to lane i % kRowTile, and at the end
/// the upper half of the lanes is added to the lower until one is left.
template <class Sum = float, class Value>
KOKKOS_FORCEINLINE_FUNCTION Sum row_sum([[maybe_unused]] const RowMember& team, int count, const Value& value) {
  if constexpr (kRunsOnHost) {
    Sum lane[kRowTile] = {};
    int i = 0;
    for (; i + kRowTile <= count; i += kRowTile) {
      for (int l = 0; l < kRowTile; ++l) lane[l] += value(i + l);
    }
    for (int l = 0; i + l < count; ++l) lane[l] += value(i + l);
    for (int width = kRowTile / 2; width > 0; width /= 2) {
      for (int l = 0; l < width; ++l) lane[l] += lane[l + width];
    }
    return lane[0];
  } else {
    Sum total = 0;
    Kokkos::parallel_reduce(
        Kokkos::TeamVectorRange(team, count), [&](int i, Sum& partial) { partial += value(i); }, total);
    return total;
  }
}

struct Largest {
  float value;
  int index;
};

/// The largest value(i) and the lowest index that has it, known to the whole team. -infinity and NaN are never chosen:
/// without any other value the result is (-infinity, 0).
template <class Value>
KOKKOS_FORCEINLINE_FUNCTION Largest row_largest([[maybe_unused]] const RowMember& team, int count, const Value& value) {
  constexpr float kNone = -Kokkos::Experimental::infinity_v<float>;
  if constexpr (kRunsOnHost) {
    float best[kRowTile];
    int index[kRowTile];
    for (int l = 0; l < kRowTile; ++l) best[l] = kNone, index[l] = 0;
    const auto offer = [&](int i, int l) {
      const float candidate = value(i);
      index[l] = candidate > best[l] ? i : index[l];
      best[l] = candidate > best[l] ? candidate : best[l];
    };
    int i = 0;
    for (; i + kRowTile <= count; i += kRowTile) {
      for (int l = 0; l < kRowTile; ++l) offer(i + l, l);
    }
    for (int l = 0; i + l < count; ++l) offer(i + l, l);
    Largest result{best[0], index[0]};
    for (int l = 1; l < kRowTile; ++l) {
      const bool better = best[l] > result.value || (best[l] == result.value && index[l] < result.index);
      if (better) result = {best[l], index[l]};
    }
    return result;
  } else {
    using Reducer = Kokkos::MaxFirstLoc<float, int>;
    typename Reducer::value_type result{kNone, 0};
    Kokkos::parallel_reduce(
        Kokkos::TeamVectorRange(team, count),
        [&](int i, typename Reducer::value_type& largest) {
          const float candidate = value(i);
          if (candidate > largest.val || (candidate == largest.val && i < largest.loc)) largest = {candidate, i};
        },
        Reducer(result));
    return {result.val, result.loc};
  }
}

}  // namespace m2
