// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

namespace m2 {

/// Opens a checkpoint file and compares every hash in it: model, optimizer and texts. Throws Error for the first thing
/// that is wrong. `before_slab` is called by each thread before it reads a slab, and may throw to end it; without, stop
/// signals are left alone, so that a save that such a signal asked for is read back, too.
void read_back(const std::string& path, int num_threads = 1, const std::function<void()>& before_slab = {});

}  // namespace m2
