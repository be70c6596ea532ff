// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "io/file.hpp"

namespace m2 {

/// A whole file mapped for reading; the File may be closed afterwards. Throws Error if the system refuses.
class MemoryMap {
 public:
  explicit MemoryMap(const File& file);
  ~MemoryMap();
  MemoryMap(MemoryMap&& other) noexcept;
  MemoryMap& operator=(MemoryMap&& other) noexcept;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace m2
