// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/parallel.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace m2 {
namespace {

TEST(ParallelTasks, DoesEachTaskOnce) {
  for (const int num_threads : {1, 2, 7}) {
    for (const std::size_t count : {0u, 1u, 3u, 1000u}) {
      std::vector<std::atomic<int>> done(count);
      parallel_tasks(count, num_threads, [&](std::size_t i) { ++done[i]; });
      for (const auto& times : done) EXPECT_EQ(times, 1);
    }
  }
}

TEST(ParallelTasks, ThrowsAndBeginsNoMore) {
  for (const int num_threads : {1, 4}) {
    std::atomic<int> begun{0};
    EXPECT_THROW(parallel_tasks(1'000'000, num_threads,
                                [&](std::size_t) {
                                  ++begun;
                                  throw std::runtime_error("stop");
                                }),
                 std::runtime_error);
    EXPECT_LE(begun, num_threads);
  }
}

}  // namespace
}  // namespace m2
