// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/background_tasks.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace m2 {

int num_io_threads(int ranks_on_host) {
  return std::clamp(int(std::thread::hardware_concurrency()) / ranks_on_host, 1, 8);
}

void parallel_tasks(std::size_t count, int num_threads, const std::function<void(std::size_t)>& task) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex failure_mutex;
  const auto work = [&] {
    try {
      for (std::size_t i = next++; i < count; i = next++) task(i);
    } catch (...) {
      next = count;
      const std::lock_guard lock(failure_mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  std::vector<std::jthread> helpers;
  for (int i = 1; i < num_threads && std::size_t(i) < count; ++i) helpers.emplace_back(work);
  work();
  helpers.clear();  // joins
  if (failure) std::rethrow_exception(failure);
}

BackgroundTasks::BackgroundTasks(std::size_t count, int num_threads, std::function<void(std::size_t)> task)
    : work_(std::async(std::launch::async, [this, count, num_threads, task = std::move(task)] {
        parallel_tasks(count, num_threads, [&](std::size_t i) {
          if (!stopped_) task(i);
        });
      })) {}

BackgroundTasks::~BackgroundTasks() {
  stopped_ = true;
  if (work_.valid()) work_.wait();
}

bool BackgroundTasks::wait_for(std::chrono::milliseconds time) {
  if (!done_ && work_.wait_for(time) == std::future_status::ready) {
    work_.get();
    done_ = true;
  }
  return done_;
}

}  // namespace m2
