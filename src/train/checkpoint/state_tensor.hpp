// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "core/dtype.hpp"

namespace m2 {

/// A tensor of the optimizer: a master copy, a moment. In a checkpoint file it is the dataset "/optimizer/<name>", bit
/// for bit, with a hash for each first index of three (the experts of a stack) or one for all.
struct StateTensor {
  std::string name;  ///< its parameter's name and what it is: "layers/0/moe/gate/master"
  DType dtype{};
  std::vector<std::int64_t> shape;
  std::byte* data = nullptr;  ///< in MemorySpace, row-major

  std::int64_t bytes() const {
    return std::accumulate(shape.begin(), shape.end(), std::int64_t(size_bytes(dtype)), std::multiplies<>());
  }
};

/// What a trainer knows beside tensors: step, epoch, position in the data, losses, deck. Only the trainer reads it.
struct TrainerState {
  std::string json;
};

}  // namespace m2
