// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Kokkos_Core.hpp>
#include <cstdint>
#include <limits>

#include "core/views.hpp"
#include "kernels/weights/weight.hpp"

namespace m2 {

/// Normal numbers with `mean` and `deviation`; those further than `bound` from the mean are drawn again.
struct NormalDistribution {
  float mean = 0.0f;
  float deviation = 1.0f;
  float bound = std::numeric_limits<float>::infinity();
};

/// Which sequence of random numbers: one `seed` per run, one `stream` per tensor.
struct RandomStream {
  std::uint64_t seed = 0;
  std::uint32_t stream = 0;
};

/// Overwrites `out` with elements index_offset, index_offset + 1, ... of the stream, rounded to out's dtype; FP8 as
/// quantize_fp8_blocks does, blocks and scales. Element i depends on the stream and i alone, not on threads or ranks: a
/// rank fills its slice of a tensor by its offset. Numbers come from Philox 4x32-10 through Box-Muller. Throws Error
/// for deviation < 0 and where less than 2 % of the numbers would be within the bound.
void fill_normal(const ExecSpace& exec, RandomStream stream, NormalDistribution distribution, std::int64_t index_offset,
                 const Weight& out);
void fill_normal(const ExecSpace& exec, RandomStream stream, NormalDistribution distribution, std::int64_t index_offset,
                 View1D<float> out);

}  // namespace m2
