// SPDX-License-Identifier: Apache-2.0
#include <Kokkos_Core.hpp>
#include <cstddef>

#include "core/device_memory.hpp"

namespace m2 {

std::optional<std::int64_t> available_device_bytes() {
  std::size_t free_bytes = 0, total_bytes = 0;
  if (cudaMemGetInfo(&free_bytes, &total_bytes) != cudaSuccess) return std::nullopt;
  return std::int64_t(free_bytes);
}

}  // namespace m2
