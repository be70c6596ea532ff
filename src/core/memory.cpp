// SPDX-License-Identifier: Apache-2.0
#include "core/memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace m2 {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

// The number after `key` in a file of "key number" lines; `otherwise` if there is none. An empty key: the first number.
std::int64_t read_number(const fs::path& path, const std::string& key, std::int64_t otherwise) {
  std::ifstream file(path);
  std::string word;
  if (!key.empty()) {
    while (file >> word && word != key) {
    }
  }
  std::int64_t number = 0;
  return file >> number ? number : otherwise;  // "max" of version 2 is no number either
}

// Names of one version's files.
struct GroupFiles {
  const char *limit, *usage, *reclaimable;
};
constexpr GroupFiles kVersion1{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};
constexpr GroupFiles kVersion2{"memory.max", "memory.current", "inactive_file"};

// Every group up to the root limits its descendants. The page cache counts as used, though it gives way: what is
// inactive of it is free.
std::int64_t group_headroom_bytes(const fs::path& mount, const fs::path& group, const GroupFiles& files) {
  std::int64_t headroom = kUnlimited;
  fs::path relative = group.relative_path();
  for (;;) {
    const fs::path folder = mount / relative;
    const std::int64_t limit = read_number(folder / files.limit, "", kUnlimited);
    if (limit != kUnlimited) {
      const std::int64_t used = read_number(folder / files.usage, "", 0);
      const std::int64_t reclaimable = read_number(folder / "memory.stat", files.reclaimable, 0);
      headroom = std::min(headroom, std::max<std::int64_t>(limit - used + reclaimable, 0));
    }
    if (relative.empty()) return headroom;
    relative = relative.parent_path();
  }
}

}  // namespace

std::int64_t available_memory_bytes(const fs::path& root) {
  const std::int64_t available_kib = read_number(root / "proc/meminfo", "MemAvailable:", kUnlimited / 1024);
  std::int64_t available = available_kib * 1024;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "hierarchy:controllers:path"
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const fs::path group = line.substr(second + 1);
    if (controllers == ",,") {
      available = std::min(available, group_headroom_bytes(root / "sys/fs/cgroup", group, kVersion2));
    } else if (controllers.find(",memory,") != std::string::npos) {
      available = std::min(available, group_headroom_bytes(root / "sys/fs/cgroup/memory", group, kVersion1));
    }
  }
  return available;
}

ResidentMemory resident_memory(const fs::path& root) {
  const fs::path status = root / "proc/self/status";
  return {.now_bytes = read_number(status, "VmRSS:", 0) * 1024, .peak_bytes = read_number(status, "VmHWM:", 0) * 1024};
}

void advise_large_pages(std::byte* begin, std::uint64_t bytes) {
  const auto page = std::uint64_t(::sysconf(_SC_PAGESIZE));
  const std::uint64_t first = (reinterpret_cast<std::uint64_t>(begin) + page - 1) / page * page;
  const std::uint64_t end = (reinterpret_cast<std::uint64_t>(begin) + bytes) / page * page;
  if (first < end) ::madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
}

}  // namespace m2
