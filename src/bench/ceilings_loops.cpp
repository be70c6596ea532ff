// SPDX-License-Identifier: Apache-2.0
#include "bench/ceilings_loops.hpp"

namespace m2 {
namespace {

constexpr int kLoopLanes = 128;

float run_portable(std::int64_t iterations) {
  float lane[kLoopLanes];
  for (int l = 0; l < kLoopLanes; ++l) lane[l] = float(l);
  for (std::int64_t i = 0; i < iterations; ++i) {
    for (int l = 0; l < kLoopLanes; ++l) lane[l] = lane[l] * 0.5f + 0.25f;
  }
  float total = 0.0f;
  for (int l = 0; l < kLoopLanes; ++l) total += lane[l];
  return total;
}
}  // namespace

PeakLoop portable_peak_loop() { return {run_portable, 2 * kLoopLanes, "portable code"}; }

}  // namespace m2
