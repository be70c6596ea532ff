// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/attention/kv_cache.hpp"

namespace m2 {

/// What attention's positions cost: keys and values of a sequence are read once, up to the last position that one of
/// its tokens sees.
struct SeenPositions {
  std::int64_t by_tokens = 0;     ///< sum over the tokens
  std::int64_t by_sequences = 0;  ///< sum over the sequences
};

/// Read on the host, so this waits for `exec`.
SeenPositions count_positions(const ExecSpace& exec, const BatchLayout& layout);

}  // namespace m2
