// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "config/minimax_m2_config.hpp"

namespace m2 {

/// FLOP of one training step over whole sequences of these lengths: every matrix product and attention product once
/// forward and twice backward (attention backward multiplies its scores once more: 2.5 times), where a token meets the
/// experts that it chose. What is computed again to save memory does not count. A product of n x k by k x m is 2 n k m.
double training_flop(const MiniMaxM2Config& config, std::span<const std::int64_t> lengths);

}  // namespace m2
