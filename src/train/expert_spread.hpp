// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

namespace m2 {

/// How evenly the tokens of a layer are spread over its experts.
struct ExpertSpread {
  double cv = 0.0;              ///< coefficient of variation of the loads: 0 is even
  double p50 = 0.0, p95 = 0.0;  ///< loads at these ranks, over the mean load
  double dead_fraction = 0.0;   ///< of the experts, those that no token chose
  double entropy = 0.0;         ///< of the loads' shares, over ln(experts): 1 is even
};

/// Of one layer's counts; all zero where nothing was counted.
ExpertSpread expert_spread(std::span<const std::int64_t> load_E);

}  // namespace m2
