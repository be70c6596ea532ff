// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/background_tasks.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
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

TEST(BackgroundTasks, LeavesTheCallerFree) {
  std::atomic<bool> may_go_on{false};
  std::atomic<int> done{0};
  BackgroundTasks tasks(5, 2, [&](std::size_t) {
    may_go_on.wait(false);
    ++done;
  });
  EXPECT_FALSE(tasks.wait_for(std::chrono::milliseconds(1)));
  may_go_on = true;
  may_go_on.notify_all();
  while (!tasks.wait_for(std::chrono::milliseconds(100))) {
  }
  EXPECT_EQ(done, 5);
  EXPECT_TRUE(tasks.wait_for(std::chrono::milliseconds(0)));
}

TEST(BackgroundTasks, ThrowsWhatATaskThrew) {
  BackgroundTasks tasks(100, 2, [](std::size_t i) {
    if (i == 7) throw std::runtime_error("seven");
  });
  EXPECT_THROW(while (!tasks.wait_for(std::chrono::milliseconds(100))){}, std::runtime_error);
}

TEST(BackgroundTasks, BeginsNoMoreWhenItIsDestroyed) {
  std::atomic<int> begun{0};
  {
    const BackgroundTasks tasks(1'000'000, 2, [&](std::size_t) {
      ++begun;
      begun.notify_all();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    begun.wait(0);
  }
  EXPECT_LT(begun, 1000);
}

}  // namespace
}  // namespace m2
