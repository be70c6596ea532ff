// SPDX-License-Identifier: Apache-2.0
#include "bench/ceilings.hpp"
#include "bench/ceilings_loops.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>

#include "support/exec.hpp"

namespace m2::test {
namespace {

TEST(Ceilings, AreMeasured) {
  const Ceilings ceilings = measure_ceilings(exec(), 64 << 20);
  EXPECT_GT(ceilings.read_bytes_per_second, 1e8);
  EXPECT_GT(ceilings.float32_flop_per_second, 1e8);
  EXPECT_NE(ceilings.float32_instructions, "");
  EXPECT_EQ(ceilings.bfloat16_flop_per_second.has_value(), !ceilings.bfloat16_instructions.empty());
}

// A loop the compiler had thrown away would take no time, and four times the work none more.
TEST(Ceilings, LoopsTakeTimeInProportionToTheirWork) {
  std::vector<PeakLoop> loops{float32_peak_loop()};
  if (const auto loop = bfloat16_peak_loop()) loops.push_back(*loop);
  for (const PeakLoop& loop : loops) {
    const auto best_seconds = [&](std::int64_t iterations) {
      double best = 1e9;
      for (int i = 0; i < 20; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        EXPECT_TRUE(std::isfinite(loop.run(iterations)));
        best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
      }
      return best;
    };
    constexpr std::int64_t kIterations = 200'000;
    const double ratio = best_seconds(4 * kIterations) / best_seconds(kIterations);
    EXPECT_GT(ratio, 2.5) << loop.instructions;
    EXPECT_LT(ratio, 6.0) << loop.instructions;
  }
}

}  // namespace
}  // namespace m2::test
