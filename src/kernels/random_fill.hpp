// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Kokkos_Core.hpp>
#include <cstdint>
#include <limits>

#include "core/views.hpp"
#include "kernels/weight.hpp"

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

struct PhiloxBlock {
  std::uint32_t word[4];
};

/// Philox 4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC11).
KOKKOS_INLINE_FUNCTION PhiloxBlock philox(PhiloxBlock counter, std::uint32_t key_0, std::uint32_t key_1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product_0 = std::uint64_t(0xD2511F53u) * counter.word[0];
    const std::uint64_t product_1 = std::uint64_t(0xCD9E8D57u) * counter.word[2];
    counter = {{std::uint32_t(product_1 >> 32) ^ counter.word[1] ^ key_0, std::uint32_t(product_1),
                std::uint32_t(product_0 >> 32) ^ counter.word[3] ^ key_1, std::uint32_t(product_0)}};
    key_0 += 0x9E3779B9u;
    key_1 += 0xBB67AE85u;
  }
  return counter;
}

}  // namespace m2
