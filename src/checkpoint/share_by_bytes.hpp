// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace m2 {

/// The piece of `items` that is rank `rank`'s when they are cut into `num_ranks` pieces of nearly equal bytes, each
/// item in the piece where its middle falls. bytes(item) is its size.
template <class Item, class Bytes>
std::vector<Item> share_by_bytes(const std::vector<Item>& items, const Bytes& bytes, int rank, int num_ranks) {
  std::uint64_t total = 0, before = 0;
  for (const Item& item : items) total += std::uint64_t(std::invoke(bytes, item));
  std::vector<Item> share;
  for (const Item& item : items) {
    const std::uint64_t size = std::uint64_t(std::invoke(bytes, item));
    const double middle = double(before) + double(size) / 2;
    if (int(middle / double(total) * num_ranks) == rank) share.push_back(item);
    before += size;
  }
  return share;
}

}  // namespace m2
