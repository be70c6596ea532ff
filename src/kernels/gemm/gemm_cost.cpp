// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm/gemm_cost.hpp"

#include <vector>

#include "core/host_copy.hpp"

namespace m2 {

std::int64_t count_touched(const ExecSpace& exec, View1D<const int> offset_E1) {
  const std::vector<int> offset = to_host(exec, offset_E1, "m2::count_touched: the host counts");
  std::int64_t touched = 0;
  for (std::size_t e = 1; e < offset.size(); ++e) touched += offset[e] > offset[e - 1];
  return touched;
}

}  // namespace m2
