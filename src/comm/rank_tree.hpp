// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "comm/communicator.hpp"

namespace m2 {

/// a, b -> the one that is larger, smaller, or their sum. A NaN stays.
template <Reduction kReduction>
KOKKOS_INLINE_FUNCTION float combine(float a, float b) {
  if constexpr (kReduction == Reduction::sum) return a + b;
  if constexpr (kReduction == Reduction::max) return a != a || a >= b ? a : b;
  return a != a || a <= b ? a : b;
}

/// out[i] = the reduction of parts[r * stride + i] over `num_ranks` ranks, by a tree: neighbours (0 1) (2 3) ... first,
/// then their neighbours; one without a neighbour moves up as it is. In float, rounded once to T. On the host.
template <class T>
void reduce_by_tree(const T* parts, std::int64_t stride, int num_ranks, std::int64_t count, Reduction reduction,
                    T* out);

}  // namespace m2
