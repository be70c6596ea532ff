// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/attention_cost.hpp"

#include <algorithm>
#include <map>
#include <vector>

#include "core/host_copy.hpp"

namespace m2 {

SeenPositions count_positions(const ExecSpace& exec, const BatchLayout& layout) {
  constexpr const char* kReason = "m2::count_positions: the host counts";
  const std::vector<int> sequence = to_host(exec, layout.sequence_T, kReason);
  const std::vector<int> last = to_host(exec, layout.cache_position_T, kReason);
  SeenPositions seen;
  std::map<int, std::int64_t> longest;
  for (std::size_t t = 0; t < sequence.size(); ++t) {
    seen.by_tokens += last[t] + 1;
    longest[sequence[t]] = std::max<std::int64_t>(longest[sequence[t]], last[t] + 1);
  }
  for (const auto& [row, positions] : longest) seen.by_sequences += positions;
  return seen;
}

}  // namespace m2
