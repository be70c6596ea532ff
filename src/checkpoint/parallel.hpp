// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>

namespace m2 {

/// Threads that move bytes between files at the same time: one for each core, but no more than eight, which outrun
/// any disk.
int num_io_threads();

/// Calls task(0) ... task(count - 1), each once, on `num_threads` threads that take the next one when they are free; on
/// the calling thread alone if there is one. After an exception no task is begun any more, and the first one is thrown.
void parallel_tasks(std::size_t count, int num_threads, const std::function<void(std::size_t)>& task);

}  // namespace m2
