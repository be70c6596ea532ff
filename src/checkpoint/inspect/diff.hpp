// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/tensor_source.hpp"

namespace m2 {

struct DiffResult {
  std::int64_t num_equal = 0;            ///< tensors with equal bits, block scales included
  std::vector<std::string> differences;  ///< one line each, in the order of the tensors
};

/// Compares two checkpoints of any kind tensor by tensor, by their bits and, where these or the dtypes differ, by the
/// largest difference of the values in float32; then configuration key by key and the other texts byte by byte.
/// What only a training run needs, others(), is left out.
DiffResult diff_checkpoints(const TensorSource& a, const TensorSource& b);

/// The differences, a line each, and a line with the numbers.
std::string diff_text(const DiffResult& result);

}  // namespace m2
