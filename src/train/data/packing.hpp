// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace m2 {

/// Which items each sequence consists of: of sequence s, items[ends[s - 1]] (0 for the first) to items[ends[s] - 1].
struct SequencePlan {
  std::vector<std::int64_t> items;
  std::vector<std::int64_t> ends;

  std::int64_t num_sequences() const { return std::ssize(ends); }
  std::span<const std::int64_t> sequence(std::int64_t s) const {
    const std::int64_t begin = s == 0 ? 0 : ends[std::size_t(s) - 1];
    return std::span(items).subspan(std::size_t(begin), std::size_t(ends[std::size_t(s)] - begin));
  }
};

/// Joins whole items, of lengths at most `capacity`, to sequences of at most `capacity`: best fit (the least room that
/// suffices, of equals the older one) in the order of the items, over at most `num_open` sequences with room. When
/// another one is needed, the fullest of them is finished. With one open sequence the items keep their order.
SequencePlan pack(std::span<const std::int64_t> lengths, std::int64_t capacity, int num_open);

/// Each item a sequence.
SequencePlan one_each(std::int64_t num_items);

}  // namespace m2
