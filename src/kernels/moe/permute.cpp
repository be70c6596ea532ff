// SPDX-License-Identifier: Apache-2.0
#include "kernels/moe/permute.hpp"

#include <limits>

#include "kernels/common/operation_cost.hpp"
#include "kernels/common/rows.hpp"
#include "kernels/common/simd.hpp"

namespace m2 {
namespace {

// Slots (t, k) in storage order that one thread counts and places. Counts per expert and slab make the sort parallel
// and stable.
constexpr int kSlab = 256;
constexpr std::int64_t kMaxRows = std::numeric_limits<int>::max() - kSlab;  // rows are numbered by int

std::int64_t num_slabs(std::int64_t num_slots) { return (num_slots + kSlab - 1) / kSlab; }

using Range = Kokkos::RangePolicy<ExecSpace>;

// count[e * slabs + s] = slots of slab s that chose expert e.
void count_slots(const ExecSpace& exec, View2D<const int> expert_TK, int num_experts, View1D<int> count) {
  const int num_slots = int(expert_TK.size()), slabs = int(num_slabs(num_slots)), top_k = expert_TK.extent_int(1);
  Kokkos::parallel_for(
      "m2::permute_plan::count", Range(exec, 0, slabs), KOKKOS_LAMBDA(int s) {
        for (int e = 0; e < num_experts; ++e) count(e * slabs + s) = 0;
        const int last = Kokkos::min(num_slots, (s + 1) * kSlab);
        for (int slot = s * kSlab; slot < last; ++slot) ++count(expert_TK(slot / top_k, slot % top_k) * slabs + s);
      });
}

// Turns counts into first rows, by expert and within an expert by slab.
void scan_counts(const ExecSpace& exec, int num_experts, int slabs, View1D<int> count, View1D<int> offset_E1) {
  const int entries = num_experts * slabs;
  Kokkos::parallel_scan(
      "m2::permute_plan::scan", Range(exec, 0, entries + 1), KOKKOS_LAMBDA(int i, int& first_row, bool final) {
        const int here = i < entries ? count(i) : 0;
        if (final) {
          if (i % slabs == 0) offset_E1(i / slabs) = first_row;
          if (i < entries) count(i) = first_row;
        }
        first_row += here;
      });
}

void place_slots(const ExecSpace& exec, View2D<const int> expert_TK, View1D<int> next_row, View2D<int> row_TK,
                 View1D<int> token_R) {
  const int num_slots = int(expert_TK.size()), slabs = int(num_slabs(num_slots)), top_k = expert_TK.extent_int(1);
  Kokkos::parallel_for(
      "m2::permute_plan::place", Range(exec, 0, slabs), KOKKOS_LAMBDA(int s) {
        const int last = Kokkos::min(num_slots, (s + 1) * kSlab);
        for (int slot = s * kSlab; slot < last; ++slot) {
          const int t = slot / top_k, k = slot % top_k;
          const int r = next_row(expert_TK(t, k) * slabs + s)++;
          row_TK(t, k) = r;
          token_R(r) = t;
        }
      });
}

}  // namespace

std::int64_t permute_scratch_size(std::int64_t num_tokens, int top_k, int num_experts) {
  return num_slabs(num_tokens * top_k) * num_experts;
}

void permute_plan(const ExecSpace& exec, View2D<const int> expert_TK, int num_experts, View1D<int> scratch,
                  View1D<int> offset_E1, View2D<int> row_TK, View1D<int> token_R) {
  const std::int64_t num_rows = std::int64_t(expert_TK.extent(0)) * std::int64_t(expert_TK.extent(1));
  const std::int64_t scratch_size =
      permute_scratch_size(std::int64_t(expert_TK.extent(0)), expert_TK.extent_int(1), num_experts);
  require_same_shape("permute_plan", "expert_TK", expert_TK, "row_TK", row_TK);
  require_same("permute_plan", "elements of token_R", token_R.extent(0), "elements of expert_TK",
               std::size_t(num_rows));
  require_same("permute_plan", "elements of offset_E1", offset_E1.extent(0), "experts + 1",
               std::size_t(num_experts) + 1);
  M2_REQUIRE(std::int64_t(scratch.extent(0)) >= scratch_size, "permute_plan: scratch has {} elements, {} are needed",
             scratch.extent(0), scratch_size);
  M2_REQUIRE(num_rows <= kMaxRows && scratch_size <= kMaxRows,
             "permute_plan: {} routed rows and {} counters, at most {} are supported", num_rows, scratch_size,
             kMaxRows);
  const LoggedOperation logged(exec, "permute_plan", [&] { return array_cost(expert_TK, row_TK, token_R, offset_E1); });
  if (num_rows == 0) {
    Kokkos::deep_copy(exec, offset_E1, 0);
    return;
  }
  count_slots(exec, expert_TK, num_experts, scratch);
  scan_counts(exec, num_experts, int(num_slabs(num_rows)), scratch, offset_E1);
  place_slots(exec, expert_TK, scratch, row_TK, token_R);
}

void permute_weights(const ExecSpace& exec, View2D<const float> weight_TK, View2D<const int> row_TK,
                     View1D<float> weight_R) {
  require_same_shape("permute_weights", "weight_TK", weight_TK, "row_TK", row_TK);
  require_same("permute_weights", "elements of weight_R", weight_R.extent(0), "elements of weight_TK",
               weight_TK.size());
  const LoggedOperation logged(exec, "permute_weights", [&] { return array_cost(weight_TK, row_TK, weight_R); });
  const int top_k = weight_TK.extent_int(1);
  Kokkos::parallel_for(
      "m2::permute_weights", Kokkos::RangePolicy<ExecSpace>(exec, 0, weight_R.extent_int(0)), KOKKOS_LAMBDA(int slot) {
        weight_R(row_TK(slot / top_k, slot % top_k)) = weight_TK(slot / top_k, slot % top_k);
      });
}

void gather_weights(const ExecSpace& exec, View1D<const float> weight_R, View2D<const int> row_TK,
                    View2D<float> weight_TK) {
  require_same_shape("gather_weights", "weight_TK", weight_TK, "row_TK", row_TK);
  M2_REQUIRE(weight_R.extent(0) <= row_TK.size(), "gather_weights: weight_R has {} elements, row_TK only {}",
             weight_R.extent(0), row_TK.size());
  const LoggedOperation logged(exec, "gather_weights", [&] { return array_cost(weight_R, row_TK, weight_TK); });
  const int top_k = row_TK.extent_int(1);
  Kokkos::parallel_for(
      "m2::gather_weights", Range(exec, 0, int(row_TK.size())), KOKKOS_LAMBDA(int slot) {
        const int t = slot / top_k, k = slot % top_k;
        weight_TK(t, k) = row_TK(t, k) < 0 ? 0.0f : weight_R(row_TK(t, k));
      });
}

template <class T>
void gather_rows(const ExecSpace& exec, View2D<const T> x_TD, View1D<const int> token_R, View2D<T> out_RD) {
  require_same("gather_rows", "elements of token_R", token_R.extent(0), "rows of out_RD", out_RD.extent(0));
  require_same("gather_rows", "columns of x_TD", x_TD.extent(1), "columns of out_RD", out_RD.extent(1));
  const LoggedOperation logged(exec, "gather_rows", [&] { return array_cost(out_RD, out_RD); });
  const int width = x_TD.extent_int(1);
  Kokkos::parallel_for(
      "m2::gather_rows", row_policy(exec, out_RD.extent_int(0)), KOKKOS_LAMBDA(const RowMember& team) {
        const T* from = row(x_TD, token_R(team.league_rank()));
        T* to = row(out_RD, team.league_rank());
        Kokkos::parallel_for(Kokkos::TeamVectorRange(team, width), [&](int d) { to[d] = from[d]; });
      });
}

template <class T>
void combine(const ExecSpace& exec, View2D<const T> y_RD, View2D<const int> row_TK, View2D<const float> weight_TK,
             View2D<T> out_TD) {
  require_same("combine", "rows of row_TK", row_TK.extent(0), "rows of out_TD", out_TD.extent(0));
  require_same("combine", "columns of y_RD", y_RD.extent(1), "columns of out_TD", out_TD.extent(1));
  M2_REQUIRE(y_RD.extent(0) <= row_TK.size(), "combine: y_RD has {} rows, row_TK only {} elements", y_RD.extent(0),
             row_TK.size());
  const bool weighted = weight_TK.size() > 0;
  if (weighted) require_same_shape("combine", "weight_TK", weight_TK, "row_TK", row_TK);
  const LoggedOperation logged(exec, "combine", [&] { return array_cost(y_RD, out_TD); });
  const int width = out_TD.extent_int(1), top_k = row_TK.extent_int(1);
  Kokkos::parallel_for(
      "m2::combine", row_policy(exec, out_TD.extent_int(0)), KOKKOS_LAMBDA(const RowMember& team) {
        const int t = team.league_rank();
        T* out = row(out_TD, t);
        row_tiles(team, width, [&](int first, auto tile_width) {
          constexpr int kWidth = decltype(tile_width)::value;
          float total[kWidth] = {};
          for (int k = 0; k < top_k; ++k) {
            if (row_TK(t, k) < 0) continue;
            const T* y = row(y_RD, row_TK(t, k)) + first;
            const float weight = weighted ? weight_TK(t, k) : 1.0f;
            for (int l = 0; l < kWidth; ++l) total[l] = fused_multiply_add(weight, float(y[l]), total[l]);
          }
          for (int l = 0; l < kWidth; ++l) out[first + l] = T(total[l]);
        });
      });
}

template void gather_rows<float>(const ExecSpace&, View2D<const float>, View1D<const int>, View2D<float>);
template void gather_rows<Bf16>(const ExecSpace&, View2D<const Bf16>, View1D<const int>, View2D<Bf16>);
template void combine<float>(const ExecSpace&, View2D<const float>, View2D<const int>, View2D<const float>,
                             View2D<float>);
template void combine<Bf16>(const ExecSpace&, View2D<const Bf16>, View2D<const int>, View2D<const float>, View2D<Bf16>);

}  // namespace m2
