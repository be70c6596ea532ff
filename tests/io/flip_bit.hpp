// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

#include "io/hdf5.hpp"

namespace m2::test {

/// Flips one bit in the data of a dataset, behind the back of its hash.
inline void flip_bit(const std::string& path, const std::string& dataset, std::uint64_t byte_offset = 0) {
  const std::uint64_t at = Hdf5Reader(path).find(dataset)->offset + byte_offset;
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(std::streamoff(at));
  const char byte = char(file.get() ^ 1);
  file.seekp(std::streamoff(at));
  file.put(byte);
}

}  // namespace m2::test
