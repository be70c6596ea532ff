// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "comm/communicator.hpp"

namespace m2 {

/// out[i] = the reduction of parts[r * stride + i] over `num_ranks` ranks, by a tree: neighbours (0 1) (2 3) ... first,
/// then their neighbours; one without a neighbour moves up as it is. In float, rounded once to T. On the host.
template <class T>
void reduce_by_tree(const T* parts, std::int64_t stride, int num_ranks, std::int64_t count, Reduction reduction,
                    T* out);

/// The same on the instance, for float32 and bfloat16: `parts` has `count` elements of each of up to 2^31 ranks.
void reduce_parts(const ExecSpace& exec, DType dtype, const void* parts, int num_ranks, std::int64_t count,
                  Reduction reduction, void* out);

}  // namespace m2
