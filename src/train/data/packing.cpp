// SPDX-License-Identifier: Apache-2.0
#include "train/data/packing.hpp"

#include <algorithm>
#include <numeric>

#include "core/error.hpp"

namespace m2 {
namespace {

struct OpenSequence {
  std::vector<std::int64_t> items;
  std::int64_t room;
};

void finish(const OpenSequence& sequence, SequencePlan& plan) {
  plan.items.insert(plan.items.end(), sequence.items.begin(), sequence.items.end());
  plan.ends.push_back(std::ssize(plan.items));
}

}  // namespace

SequencePlan pack(std::span<const std::int64_t> lengths, std::int64_t capacity, int num_open) {
  SequencePlan plan;
  plan.items.reserve(lengths.size());
  std::vector<OpenSequence> open;  // in the order in which they were begun
  for (std::size_t item = 0; item < lengths.size(); ++item) {
    const std::int64_t length = lengths[item];
    M2_REQUIRE(length <= capacity, "an item of {} tokens does not fit a sequence of {}", length, capacity);
    auto place = open.end();
    for (auto sequence = open.begin(); sequence != open.end(); ++sequence) {
      const bool fits = sequence->room >= length;
      if (fits && (place == open.end() || sequence->room < place->room)) place = sequence;
    }
    if (place == open.end()) {
      if (std::ssize(open) == num_open) {
        const auto fullest = std::ranges::min_element(open, {}, &OpenSequence::room);
        finish(*fullest, plan);
        open.erase(fullest);
      }
      place = open.insert(open.end(), {{}, capacity});
    }
    place->items.push_back(std::int64_t(item));
    place->room -= length;
    if (place->room > 0) continue;
    finish(*place, plan);
    open.erase(place);
  }
  for (const OpenSequence& sequence : open) finish(sequence, plan);
  return plan;
}

SequencePlan one_each(std::int64_t num_items) {
  SequencePlan plan;
  plan.items.resize(std::size_t(num_items));
  std::iota(plan.items.begin(), plan.items.end(), 0);
  plan.ends.resize(std::size_t(num_items));
  std::iota(plan.ends.begin(), plan.ends.end(), 1);
  return plan;
}

}  // namespace m2
