// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/views.hpp"

namespace m2 {

/// Elements of block_sum that sum_of_squares() needs for `size` values.
std::int64_t num_square_blocks(std::int64_t size);

/// total[0] = sum_i values[i]^2 in double, where the square of a float32 is exact and cannot overflow; NaN and infinity
/// stay what they are. One fixed order of additions: blocks of 65,536 values, each over 64 lanes, then blocks
/// ascending. Overwrites `total` and `block_sum`, which is working memory that calls on one instance may share. Throws
/// Error for a `total` of other than one element and a `block_sum` of fewer than num_square_blocks() elements.
void sum_of_squares(const ExecSpace& exec, View1D<const float> values, View1D<double> block_sum, View1D<double> total);

}  // namespace m2
