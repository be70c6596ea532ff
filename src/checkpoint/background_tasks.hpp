// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <future>

namespace m2 {

/// Threads that move bytes between files at the same time: one for each core of this process' share of the host, but
/// no more than eight, which outrun any disk.
int num_io_threads(int ranks_on_host = 1);

/// Calls task(0) ... task(count - 1), each once, on `num_threads` threads that take the next one when they are free; on
/// the calling thread alone if there is one. After an exception no task is begun any more, and the first one is thrown.
void parallel_tasks(std::size_t count, int num_threads, const std::function<void(std::size_t)>& task);

/// How long the calling thread waits for others before it looks at the rest of its work.
inline constexpr std::chrono::milliseconds kTick{100};

/// The same as parallel_tasks on threads that leave the calling one free. The destructor lets no task begin any more
/// and waits for those under way.
class BackgroundTasks {
 public:
  BackgroundTasks(std::size_t count, int num_threads, std::function<void(std::size_t)> task);
  ~BackgroundTasks();
  BackgroundTasks(const BackgroundTasks&) = delete;
  BackgroundTasks& operator=(const BackgroundTasks&) = delete;

  /// Whether all are done, after waiting at most so long. Throws what a task threw.
  bool wait_for(std::chrono::milliseconds time);

 private:
  std::atomic<bool> stopped_{false};
  bool done_ = false;
  std::future<void> work_;
};

}  // namespace m2
