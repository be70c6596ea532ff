// SPDX-License-Identifier: Apache-2.0
#include "train/expert_spread.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace m2 {

ExpertSpread expert_spread(std::span<const std::int64_t> load_E) {
  const double total = double(std::accumulate(load_E.begin(), load_E.end(), std::int64_t{0}));
  if (total == 0.0) return {};
  const double count = double(load_E.size()), mean = total / count;
  std::vector<std::int64_t> ascending(load_E.begin(), load_E.end());
  std::ranges::sort(ascending);
  const auto at_rank = [&](double share) {  // nearest rank
    return double(ascending[std::size_t(std::ceil(share * count)) - 1]) / mean;
  };
  ExpertSpread spread{.p50 = at_rank(0.5), .p95 = at_rank(0.95)};
  double variance = 0.0, entropy = 0.0;
  for (const std::int64_t load : load_E) {
    variance += (double(load) - mean) * (double(load) - mean) / count;
    if (load > 0) entropy -= double(load) / total * std::log(double(load) / total);
    spread.dead_fraction += load == 0 ? 1.0 / count : 0.0;
  }
  spread.cv = std::sqrt(variance) / mean;
  spread.entropy = load_E.size() > 1 ? entropy / std::log(count) : 1.0;
  return spread;
}

}  // namespace m2
