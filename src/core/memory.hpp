// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace m2 {

/// Bytes of host memory this process can still take without being killed: what the system calls available, or less
/// where a control group (a Slurm job, a container; versions 1 and 2) allows less. 2^63 - 1 where the system does not
/// say. `root` is the folder that holds /proc and /sys.
std::int64_t available_memory_bytes(const std::filesystem::path& root = "/");

/// Asks for large pages for memory on a host that nobody has touched yet: filling it takes fewer faults, and kernels
/// that walk through it fewer misses of address translation. Only advice: nothing happens where there are none.
void advise_large_pages(std::byte* begin, std::uint64_t bytes);

/// Bytes of this process that lie in memory, libraries included; 0 where the system does not say.
struct ResidentMemory {
  std::int64_t now_bytes = 0;
  std::int64_t peak_bytes = 0;  ///< since the process began
};
ResidentMemory resident_memory(const std::filesystem::path& root = "/");

}  // namespace m2
