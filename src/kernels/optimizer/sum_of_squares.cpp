// SPDX-License-Identifier: Apache-2.0
#include "kernels/optimizer/sum_of_squares.hpp"

#include "core/error.hpp"
#include "kernels/common/operation_cost.hpp"
#include "kernels/common/rows.hpp"

namespace m2 {
namespace {

constexpr std::int64_t kBlockValues = 65536;
constexpr int kSumLanes = 64;  // as many as a row's sums have, which makes vector code of the loop

/// Known to the whole team.
KOKKOS_INLINE_FUNCTION double block_sum_of_squares([[maybe_unused]] const RowMember& team, const float* block,
                                                   std::int64_t count) {
  if constexpr (kRunsOnHost) {
    double lane[kSumLanes] = {};
    std::int64_t i = 0;
    for (; i + kSumLanes <= count; i += kSumLanes) {
      for (int l = 0; l < kSumLanes; ++l) lane[l] += double(block[i + l]) * double(block[i + l]);
    }
    for (int l = 0; i + l < count; ++l) lane[l] += double(block[i + l]) * double(block[i + l]);
    for (int width = kSumLanes / 2; width > 0; width /= 2) {
      for (int l = 0; l < width; ++l) lane[l] += lane[l + width];
    }
    return lane[0];
  } else {
    double total = 0.0;
    Kokkos::parallel_reduce(
        Kokkos::TeamVectorRange(team, count),
        [&](std::int64_t i, double& partial) { partial += double(block[i]) * double(block[i]); }, total);
    return total;
  }
}

}  // namespace

std::int64_t num_square_blocks(std::int64_t size) { return (size + kBlockValues - 1) / kBlockValues; }

void sum_of_squares(const ExecSpace& exec, View1D<const float> values, View1D<double> block_sum, View1D<double> total) {
  const std::int64_t size = std::int64_t(values.extent(0)), num_blocks = num_square_blocks(size);
  require_same("sum_of_squares", "elements of total", total.extent(0), "its one sum", 1);
  M2_REQUIRE(std::int64_t(block_sum.extent(0)) >= num_blocks,
             "sum_of_squares: block_sum has {} elements, {} are needed for {} values", block_sum.extent(0), num_blocks,
             size);
  const LoggedOperation logged(exec, "sum_of_squares", [&] { return array_cost(values); });
  const float* const value = values.data();
  Kokkos::parallel_for(
      "m2::sum_of_squares", row_policy(exec, int(num_blocks)), KOKKOS_LAMBDA(const RowMember& team) {
        const std::int64_t first = team.league_rank() * kBlockValues, left = size - first;
        const double sum = block_sum_of_squares(team, value + first, left < kBlockValues ? left : kBlockValues);
        Kokkos::single(Kokkos::PerTeam(team), [&]() { block_sum(team.league_rank()) = sum; });
      });
  Kokkos::parallel_for(
      "m2::sum_of_squares::total", Kokkos::RangePolicy<ExecSpace>(exec, 0, 1), KOKKOS_LAMBDA(int) {
        double sum = 0.0;
        for (std::int64_t b = 0; b < num_blocks; ++b) sum += block_sum(b);
        total(0) = sum;
      });
}

}  // namespace m2
