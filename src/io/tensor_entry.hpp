// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/dtype.hpp"

namespace m2 {

/// A tensor in a file and its place there: an entry of the file's table. Elements are little-endian, in row-major
/// order.
struct TensorEntry {
  std::string name;  ///< of a dataset its path, "/model/norm"
  DType dtype{};
  std::vector<std::int64_t> shape;
  std::uint64_t offset = 0;  ///< of the first byte, from the beginning of the file
  std::uint64_t size_bytes = 0;
};

}  // namespace m2
