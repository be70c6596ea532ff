// SPDX-License-Identifier: Apache-2.0
#include "parallel/expert_placement.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/error.hpp"

namespace m2 {
namespace {

void require_ranks(const std::vector<int>& ranks, int num_ranks, const std::string& place) {
  if (ranks.empty()) raise_usage("{}: no rank holds it; expected a list of ranks from 0 to {}", place, num_ranks - 1);
  for (auto rank = ranks.begin(); rank != ranks.end(); ++rank) {
    if (*rank < 0 || *rank >= num_ranks) {
      raise_usage("{}: there is no rank {}; expected 0 to {}", place, *rank, num_ranks - 1);
    }
    if (std::find(ranks.begin(), rank, *rank) != rank) raise_usage("{}: rank {} is listed twice", place, *rank);
  }
}

}  // namespace

ExpertPlacement ExpertPlacement::even(int num_layers, int num_experts, int num_ranks) {
  if (num_ranks < 1 || num_ranks > num_experts) {
    raise_usage("the {} experts of a layer cannot be split over {} ranks; expected 1 to {}", num_experts, num_ranks,
                num_experts);
  }
  std::vector<std::vector<int>> layer;
  for (int rank = 0; rank < num_ranks; ++rank) {
    const auto first = [&](std::int64_t r) { return int(num_experts * r / num_ranks); };
    for (int expert = first(rank); expert < first(rank + 1); ++expert) layer.push_back({rank});
  }
  return ExpertPlacement(std::vector(num_layers, layer), num_layers, num_experts, num_ranks, "even placement");
}

ExpertPlacement::ExpertPlacement(std::vector<std::vector<std::vector<int>>> ranks_of, int num_layers, int num_experts,
                                 int num_ranks, const std::string& source)
    : ranks_of_(std::move(ranks_of)), num_ranks_(num_ranks), most_experts_(num_ranks, 0) {
  if (std::ssize(ranks_of_) != num_layers) {
    raise_usage("{}: found {} layers, the model has {}", source, ranks_of_.size(), num_layers);
  }
  for (int layer = 0; layer < num_layers; ++layer) {
    const std::vector<std::vector<int>>& experts = ranks_of_[layer];
    if (std::ssize(experts) != num_experts) {
      raise_usage("{}: layer {} has {} experts, the model {}", source, layer, experts.size(), num_experts);
    }
    std::vector<bool> used(num_ranks, false);
    for (int expert = 0; expert < num_experts; ++expert) {
      require_ranks(experts[expert], num_ranks, fmt::format("{}: layer {}, expert {}", source, layer, expert));
      for (const int rank : experts[expert]) used[rank] = true;
    }
    const auto idle = std::ranges::find(used, false);
    if (idle != used.end()) {
      raise_usage("{}: layer {} gives rank {} no expert; expected at least one", source, layer, idle - used.begin());
    }
    for (int rank = 0; rank < num_ranks; ++rank) {
      most_experts_[rank] = std::max(most_experts_[rank], int(experts_of(layer, rank).size()));
    }
  }
}

std::vector<int> ExpertPlacement::experts_of(int layer, int rank) const {
  std::vector<int> experts;
  for (int expert = 0; expert < std::ssize(ranks_of_[layer]); ++expert) {
    if (std::ranges::count(ranks_of_[layer][expert], rank) > 0) experts.push_back(expert);
  }
  return experts;
}

}  // namespace m2
