// SPDX-License-Identifier: Apache-2.0
#include "parallel/expert_balance.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/error.hpp"

namespace m2 {
namespace {

// One copy of an expert and the load it carries.
struct Copy {
  int expert;
  double load;
};

// The busiest first; among equals the lower expert.
std::vector<Copy> copies_of(const std::vector<std::int64_t>& load, int num_ranks, int num_replicas) {
  std::vector<int> count(load.size(), 1);
  const auto share = [&](std::size_t e) { return double(load[e]) / count[e]; };
  for (int i = 0; i < num_replicas; ++i) {
    std::size_t busiest = load.size();
    for (std::size_t e = 0; e < load.size(); ++e) {
      if (count[e] < num_ranks && (busiest == load.size() || share(e) > share(busiest))) busiest = e;
    }
    if (busiest == load.size()) break;  // every rank has every expert
    ++count[busiest];
  }
  std::vector<Copy> copies;
  for (std::size_t e = 0; e < load.size(); ++e) copies.insert(copies.end(), count[e], Copy{int(e), share(e)});
  std::ranges::stable_sort(copies, [](const Copy& a, const Copy& b) { return a.load > b.load; });
  return copies;
}

std::vector<std::vector<int>> balance_layer(const std::vector<std::int64_t>& load, int num_ranks, int num_replicas) {
  const std::vector<Copy> copies = copies_of(load, num_ranks, num_replicas);
  const std::int64_t room = (std::ssize(copies) + num_ranks - 1) / num_ranks;
  std::vector<std::vector<int>> ranks_of(load.size());
  std::vector<double> rank_load(num_ranks, 0.0);
  std::vector<std::int64_t> num_copies(num_ranks, 0);
  for (std::size_t i = 0; i < copies.size(); ++i) {
    std::vector<int>& ranks = ranks_of[copies[i].expert];
    // The last copies go where there is none yet: no rank may be left without an expert.
    const auto num_empty = std::ranges::count(num_copies, 0);
    const bool fill_empty = std::ssize(copies) - std::int64_t(i) <= num_empty;
    int best = -1;
    for (int r = 0; r < num_ranks; ++r) {
      if (std::ranges::find(ranks, r) != ranks.end() || num_copies[r] >= room) continue;
      if (fill_empty && num_copies[r] > 0) continue;
      if (best < 0 || rank_load[r] < rank_load[best]) best = r;
    }
    if (best < 0) continue;  // all ranks with room have this expert: the copy is not worth another place
    ranks.push_back(best);
    rank_load[best] += copies[i].load;
    ++num_copies[best];
  }
  for (std::vector<int>& ranks : ranks_of) std::ranges::sort(ranks);
  return ranks_of;
}

}  // namespace

ExpertPlacement balance_experts(const ExpertLoad& load, int num_ranks, int num_replicas) {
  const int num_experts = int(load[0].size());
  if (num_ranks < 1 || num_ranks > num_experts) {
    raise_usage("the {} experts of a layer cannot be split over {} ranks; expected 1 to {}", num_experts, num_ranks,
                num_experts);
  }
  std::vector<std::vector<std::vector<int>>> layers;
  for (const std::vector<std::int64_t>& layer : load) layers.push_back(balance_layer(layer, num_ranks, num_replicas));
  const int num_layers = int(layers.size());
  return ExpertPlacement(std::move(layers), num_layers, num_experts, num_ranks, "balanced placement");
}

double imbalance(const ExpertPlacement& placement, const ExpertLoad& load) {
  double worst = 1.0;
  for (std::size_t layer = 0; layer < load.size(); ++layer) {
    std::vector<double> rank_load(placement.num_ranks(), 0.0);
    for (std::size_t e = 0; e < load[layer].size(); ++e) {
      const std::vector<int>& ranks = placement.ranks_of(int(layer))[e];
      for (const int rank : ranks) rank_load[rank] += double(load[layer][e]) / double(ranks.size());
    }
    const double total = std::accumulate(rank_load.begin(), rank_load.end(), 0.0);
    if (total > 0) worst = std::max(worst, *std::ranges::max_element(rank_load) * placement.num_ranks() / total);
  }
  return worst;
}

}  // namespace m2
