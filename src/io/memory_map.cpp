// SPDX-License-Identifier: Apache-2.0
#include "io/memory_map.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/error.hpp"

namespace m2 {

MemoryMap::MemoryMap(const File& file) {
  const std::uint64_t size_bytes = file.size_bytes();
  if (size_bytes == 0) return;  // the system refuses a map of nothing
  void* const begin = ::mmap(nullptr, size_bytes, PROT_READ, MAP_SHARED, file.descriptor(), 0);
  M2_REQUIRE(begin != MAP_FAILED, "cannot map the {} bytes of '{}': {}", size_bytes, file.path(), std::strerror(errno));
  bytes_ = {static_cast<const std::byte*>(begin), size_bytes};
}

MemoryMap::~MemoryMap() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

MemoryMap::MemoryMap(MemoryMap&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MemoryMap& MemoryMap::operator=(MemoryMap&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace m2
