// SPDX-License-Identifier: Apache-2.0
#include "train/data/random_order.hpp"

#include <numeric>
#include <utility>

#include "kernels/common/philox.hpp"

namespace m2 {
namespace {

std::uint64_t random_bits(std::int64_t seed, RandomPurpose purpose, std::uint32_t round, std::int64_t item) {
  const std::uint32_t stream = (std::uint32_t(purpose.kind) << 24) | std::uint32_t(purpose.index);
  const PhiloxBlock counter{{std::uint32_t(item), std::uint32_t(item >> 32), round, stream}};
  const PhiloxBlock random = philox(counter, std::uint32_t(seed), std::uint32_t(seed >> 32));
  return (std::uint64_t(random.word[1]) << 32) | random.word[0];
}

}  // namespace

std::vector<std::int64_t> random_order(std::int64_t count, std::int64_t seed, RandomPurpose purpose,
                                       std::int64_t round) {
  std::vector<std::int64_t> order(std::size_t(count), 0);
  std::iota(order.begin(), order.end(), 0);
  for (std::int64_t last = count - 1; last > 0; --last) {
    // The remainder prefers small numbers by a share of count / 2^64, which nobody can notice.
    const std::uint64_t other = random_bits(seed, purpose, std::uint32_t(round), last) % std::uint64_t(last + 1);
    std::swap(order[std::size_t(last)], order[other]);
  }
  return order;
}

double random_fraction(std::int64_t seed, RandomPurpose purpose, std::int64_t item) {
  return double(random_bits(seed, purpose, 0, item) >> 11) * 0x1p-53;
}

}  // namespace m2
