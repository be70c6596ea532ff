// SPDX-License-Identifier: Apache-2.0
#include "kernels/operation_cost.hpp"

#include <algorithm>
#include <map>
#include <vector>

namespace m2 {
namespace {

std::vector<int> on_host(const ExecSpace& exec, View1D<const int> values) {
  std::vector<int> host(values.extent(0));
  Kokkos::deep_copy(exec, Kokkos::View<int*, Kokkos::LayoutRight, HostSpace>(host.data(), host.size()), values);
  exec.fence("m2::operation_cost: the host counts");
  return host;
}

}  // namespace

std::int64_t count_touched(const ExecSpace& exec, View1D<const int> offset_E1) {
  const std::vector<int> offset = on_host(exec, offset_E1);
  std::int64_t touched = 0;
  for (std::size_t e = 1; e < offset.size(); ++e) touched += offset[e] > offset[e - 1];
  return touched;
}

SeenPositions count_positions(const ExecSpace& exec, const BatchLayout& layout) {
  const std::vector<int> sequence = on_host(exec, layout.sequence_T), last = on_host(exec, layout.cache_position_T);
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
