// SPDX-License-Identifier: Apache-2.0
#include "core/memory.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

namespace m2 {
namespace {

namespace fs = std::filesystem;

// A system made of files: 8,000 KiB available.
class AvailableMemory : public ::testing::Test {
 protected:
  AvailableMemory() {
    write("proc/meminfo", "MemTotal:       16000 kB\nMemFree:          100 kB\nMemAvailable:    8000 kB\n");
  }
  ~AvailableMemory() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }

  const fs::path root_ = fs::temp_directory_path() / ("m2.memory_test." + std::to_string(::getpid()));
};

TEST_F(AvailableMemory, WithoutGroupsIsWhatTheSystemSays) { EXPECT_EQ(available_memory_bytes(root_), 8000 * 1024); }

TEST_F(AvailableMemory, IsUnlimitedWhereTheSystemSaysNothing) {
  EXPECT_EQ(available_memory_bytes(root_ / "nowhere"), std::numeric_limits<std::int64_t>::max() / 1024 * 1024);
}

TEST_F(AvailableMemory, TheTightestGroupOfVersion2Counts) {
  write("proc/self/cgroup", "0::/job/step\n");
  write("sys/fs/cgroup/job/step/memory.max", "max\n");
  write("sys/fs/cgroup/job/memory.max", "5000000\n");
  write("sys/fs/cgroup/job/memory.current", "4000000\n");
  write("sys/fs/cgroup/job/memory.stat", "anon 1000000\ninactive_file 2500000\nactive_file 500000\n");
  EXPECT_EQ(available_memory_bytes(root_), 5000000 - 4000000 + 2500000);
}

TEST_F(AvailableMemory, TheGroupOfVersion1Counts) {
  write("proc/self/cgroup", "5:cpu:/x\n4:hugetlb,memory:/slurm/job_7\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/memory/slurm/job_7/memory.limit_in_bytes", "3000000\n");
  write("sys/fs/cgroup/memory/slurm/job_7/memory.usage_in_bytes", "3500000\n");  // a limit can be lowered later
  EXPECT_EQ(available_memory_bytes(root_), 0);
}

TEST_F(AvailableMemory, ResidentIsWhatTheSystemSays) {
  write("proc/self/status", "Name:\tm2\nVmPeak:\t  900 kB\nVmHWM:\t  300 kB\nVmRSS:\t  200 kB\n");
  EXPECT_EQ(resident_memory(root_).now_bytes, 200 * 1024);
  EXPECT_EQ(resident_memory(root_).peak_bytes, 300 * 1024);
  EXPECT_EQ(resident_memory(root_ / "nowhere").now_bytes, 0);
}

TEST(AvailableMemoryHere, IsPositive) { EXPECT_GT(available_memory_bytes(), 0); }

}  // namespace
}  // namespace m2
