// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

namespace m2 {

/// A loop that keeps the multipliers of one core busy. `run(iterations)` computes flop_per_iteration each, and returns
/// something that depends on all of it.
struct PeakLoop {
  float (*run)(std::int64_t iterations);
  std::int64_t flop_per_iteration;
  const char* instructions;
};

/// What the compiler makes of a plain loop for the processor it compiles for.
PeakLoop portable_peak_loop();

/// The fastest for this processor; the second is nothing where it has no instructions for bfloat16.
PeakLoop float32_peak_loop();
std::optional<PeakLoop> bfloat16_peak_loop();

}  // namespace m2
