// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Kokkos_Core.hpp>
#include <cstdint>

namespace m2 {

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
