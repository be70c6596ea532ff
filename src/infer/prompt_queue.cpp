// SPDX-License-Identifier: Apache-2.0
#include "infer/prompt_queue.hpp"

#include <algorithm>
#include <numeric>

namespace m2 {
namespace {

constexpr std::int64_t kWindowRounds = 4;  // a window holds so many prompts for each place in the batches

std::vector<std::int64_t> make_order(std::span<const std::int64_t> lengths, std::int64_t first, int num_ranks,
                                     int max_sequences) {
  std::vector<std::int64_t> order(std::ssize(lengths) - first);
  std::iota(order.begin(), order.end(), first);
  if (num_ranks == 1) return order;
  const std::int64_t window = kWindowRounds * num_ranks * max_sequences;
  for (std::int64_t begin = 0; begin < std::ssize(order); begin += window) {
    const auto end = order.begin() + std::min(begin + window, std::ssize(order));
    std::stable_sort(order.begin() + begin, end, [&](auto a, auto b) { return lengths[a] > lengths[b]; });
  }
  return order;
}

}  // namespace

PromptQueue::PromptQueue(Communicator& world, std::span<const std::int64_t> lengths, std::int64_t first,
                         int max_sequences)
    : order_(make_order(lengths, first, world.size(), max_sequences)),
      queue_(world, std::ssize(order_)),
      sequences_per_rank_(
          int(std::clamp<std::int64_t>((std::ssize(order_) + world.size() - 1) / world.size(), 1, max_sequences))) {}

std::optional<std::int64_t> PromptQueue::next() {
  const std::int64_t place = queue_.next();
  if (place >= std::ssize(order_)) return std::nullopt;
  return order_[place];
}

}  // namespace m2
