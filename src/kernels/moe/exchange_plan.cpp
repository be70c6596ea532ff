// SPDX-License-Identifier: Apache-2.0
#include "kernels/moe/exchange_plan.hpp"

#include <limits>

#include "kernels/common/operation_cost.hpp"
#include "kernels/common/rows.hpp"
#include "kernels/common/simd.hpp"

namespace m2 {
namespace {

// Tokens that one thread counts and places. Counts per destination and slab make the sort parallel and stable.
constexpr int kTokensPerSlab = 32;

std::int64_t slabs_of(std::int64_t num_tokens) { return (num_tokens + kTokensPerSlab - 1) / kTokensPerSlab; }

using Range = Kokkos::RangePolicy<ExecSpace>;

struct Slots {
  View2D<const int> expert_TK;
  std::int64_t first_token;
  ExpertMap map;

  KOKKOS_INLINE_FUNCTION int replica(int t, int k) const {
    const int e = expert_TK(t, k), first = map.first_E1(e);
    return first + int((first_token + t) % (map.first_E1(e + 1) - first));
  }
  KOKKOS_INLINE_FUNCTION int rank(int t, int k) const { return map.rank_P(replica(t, k)); }
  // Whether no earlier slot of the token goes to the same rank.
  KOKKOS_INLINE_FUNCTION bool begins_row(int t, int k, int destination) const {
    for (int earlier = 0; earlier < k; ++earlier) {
      if (rank(t, earlier) == destination) return false;
    }
    return true;
  }
};

// row_count and slot_count[d * slabs + s] = what the tokens of slab s send to rank d.
void count_slabs(const ExecSpace& exec, const Slots& slots, int num_ranks, View1D<int> row_count,
                 View1D<int> slot_count) {
  const int num_tokens = slots.expert_TK.extent_int(0), top_k = slots.expert_TK.extent_int(1);
  const int slabs = int(slabs_of(num_tokens));
  Kokkos::parallel_for(
      "m2::plan_exchange::count", Range(exec, 0, slabs), KOKKOS_LAMBDA(int s) {
        for (int d = 0; d < num_ranks; ++d) row_count(d * slabs + s) = slot_count(d * slabs + s) = 0;
        const int last = Kokkos::min(num_tokens, (s + 1) * kTokensPerSlab);
        for (int t = s * kTokensPerSlab; t < last; ++t) {
          for (int k = 0; k < top_k; ++k) {
            const int d = slots.rank(t, k);
            ++slot_count(d * slabs + s);
            if (slots.begins_row(t, k, d)) ++row_count(d * slabs + s);
          }
        }
      });
}

// Turns counts into first places, by destination and within a destination by slab.
void scan_slabs(const ExecSpace& exec, int num_ranks, int slabs, View1D<int> count, View1D<int> first_N1) {
  const int entries = num_ranks * slabs;
  Kokkos::parallel_scan(
      "m2::plan_exchange::scan", Range(exec, 0, entries + 1), KOKKOS_LAMBDA(int i, int& first, bool final) {
        const int here = i < entries ? count(i) : 0;
        if (final) {
          if (i % slabs == 0) first_N1(i / slabs) = first;
          if (i < entries) count(i) = first;
        }
        first += here;
      });
}

void place_slots(const ExecSpace& exec, const Slots& slots, View2D<const float> weight_TK, View1D<int> next_row,
                 View1D<int> next_slot, const ExchangePlan& plan) {
  const int num_tokens = slots.expert_TK.extent_int(0), top_k = slots.expert_TK.extent_int(1);
  const int slabs = int(slabs_of(num_tokens));
  Kokkos::parallel_for(
      "m2::plan_exchange::place", Range(exec, 0, slabs), KOKKOS_LAMBDA(int s) {
        const int last = Kokkos::min(num_tokens, (s + 1) * kTokensPerSlab);
        for (int t = s * kTokensPerSlab; t < last; ++t) {
          for (int k = 0; k < top_k; ++k) {
            const int replica = slots.replica(t, k), d = slots.map.rank_P(replica);
            const bool begins_row = slots.begins_row(t, k, d);
            if (begins_row) plan.token_S(next_row(d * slabs + s)++) = t;
            const int r = next_row(d * slabs + s) - 1;  // the last one: rows come by token
            const int p = next_slot(d * slabs + s)++;
            plan.row_TK(t, k) = begins_row ? plan.first_row + r : -1;
            plan.place_TK(t, k) = plan.first_place + p;
            plan.slot_P3(p, 0) = r - plan.row_displacement_N1(d);
            plan.slot_P3(p, 1) = slots.map.local_expert(replica);
            plan.slot_P3(p, 2) = Kokkos::bit_cast<int>(weight_TK(t, k));
          }
        }
      });
}

template <class T>
void gather_values(const char* operation, const ExecSpace& exec, View1D<const T> table, View1D<const int> index,
                   View1D<T> out) {
  require_same(operation, "elements of index", index.extent(0), "elements of out", out.extent(0));
  const LoggedOperation logged(exec, operation, [&] { return array_cost(index, out, out); });
  Kokkos::parallel_for(
      "m2::gather_values", Range(exec, 0, int(out.extent(0))), KOKKOS_LAMBDA(int i) { out(i) = table(index(i)); });
}

}  // namespace

std::int64_t exchange_scratch_size(std::int64_t num_tokens, int num_ranks) {
  return 2 * slabs_of(num_tokens) * num_ranks;
}

void plan_exchange(const ExecSpace& exec, View2D<const int> expert_TK, View2D<const float> weight_TK,
                   std::int64_t first_token, const ExpertMap& map, View1D<int> scratch, const ExchangePlan& plan) {
  const std::int64_t num_tokens = expert_TK.extent(0), top_k = expert_TK.extent(1);
  const int num_ranks = plan.row_displacement_N1.extent_int(0) - 1;
  require_same_shape("plan_exchange", "expert_TK", expert_TK, "weight_TK", weight_TK);
  require_same_shape("plan_exchange", "expert_TK", expert_TK, "place_TK", plan.place_TK);
  require_same_shape("plan_exchange", "expert_TK", expert_TK, "row_TK", plan.row_TK);
  require_same("plan_exchange", "elements of row_displacement_N1", plan.row_displacement_N1.extent(0),
               "elements of slot_displacement_N1", plan.slot_displacement_N1.extent(0));
  require_same("plan_exchange", "replicas' ranks", map.rank_P.extent(0), "replicas' experts",
               map.local_expert.extent(0));
  M2_REQUIRE(std::int64_t(plan.token_S.extent(0)) >= num_tokens * std::min<std::int64_t>(top_k, num_ranks) &&
                 std::int64_t(plan.slot_P3.extent(0)) >= num_tokens * top_k && plan.slot_P3.extent(1) == 3,
             "plan_exchange: room for {} rows and {} x {} slots, {} tokens of {} experts over {} ranks need more",
             plan.token_S.extent(0), plan.slot_P3.extent(0), plan.slot_P3.extent(1), num_tokens, top_k, num_ranks);
  const std::int64_t scratch_size = exchange_scratch_size(num_tokens, num_ranks);
  M2_REQUIRE(std::int64_t(scratch.extent(0)) >= scratch_size && scratch_size < std::numeric_limits<int>::max() &&
                 num_tokens * top_k < std::numeric_limits<int>::max(),
             "plan_exchange: scratch has {} elements, {} are needed", scratch.extent(0), scratch_size);
  const LoggedOperation logged(exec, "plan_exchange", [&] {
    return array_cost(expert_TK, weight_TK, plan.place_TK, plan.row_TK, plan.slot_P3);
  });
  if (num_tokens == 0) {
    Kokkos::deep_copy(exec, plan.row_displacement_N1, 0);
    Kokkos::deep_copy(exec, plan.slot_displacement_N1, 0);
    return;
  }
  const int slabs = int(slabs_of(num_tokens));
  const View1D<int> row_count(scratch.data(), num_ranks * slabs);
  const View1D<int> slot_count(scratch.data() + row_count.extent(0), num_ranks * slabs);
  const Slots slots{expert_TK, first_token, map};
  count_slabs(exec, slots, num_ranks, row_count, slot_count);
  scan_slabs(exec, num_ranks, slabs, row_count, plan.row_displacement_N1);
  scan_slabs(exec, num_ranks, slabs, slot_count, plan.slot_displacement_N1);
  place_slots(exec, slots, weight_TK, row_count, slot_count, plan);
}

void unpack_slots(const ExecSpace& exec, View2D<const int> slot_P3, View1D<const int> row_displacement_N,
                  View1D<const int> slot_displacement_N1, View2D<int> expert_P1, View1D<int> row_P,
                  View1D<float> weight_P) {
  const int num_sources = slot_displacement_N1.extent_int(0) - 1;
  require_same("unpack_slots", "rows of slot_P3", slot_P3.extent(0), "rows of expert_P1", expert_P1.extent(0));
  require_same("unpack_slots", "rows of slot_P3", slot_P3.extent(0), "elements of row_P", row_P.extent(0));
  require_same("unpack_slots", "rows of slot_P3", slot_P3.extent(0), "elements of weight_P", weight_P.extent(0));
  require_same("unpack_slots", "elements of row_displacement_N", row_displacement_N.extent(0), "sources",
               std::size_t(num_sources));
  const LoggedOperation logged(exec, "unpack_slots", [&] { return array_cost(slot_P3, expert_P1, row_P, weight_P); });
  Kokkos::parallel_for(
      "m2::unpack_slots", Range(exec, 0, slot_P3.extent_int(0)), KOKKOS_LAMBDA(int p) {
        int low = 0, high = num_sources - 1;  // the last source that begins at p or before
        while (low < high) {
          const int middle = (low + high + 1) / 2;
          if (slot_displacement_N1(middle) <= p) {
            low = middle;
          } else {
            high = middle - 1;
          }
        }
        row_P(p) = row_displacement_N(low) + slot_P3(p, 0);
        expert_P1(p, 0) = slot_P3(p, 1);
        weight_P(p) = Kokkos::bit_cast<float>(slot_P3(p, 2));
      });
}

void gather_ints(const ExecSpace& exec, View1D<const int> table, View1D<const int> index, View1D<int> out) {
  gather_values<int>("gather_ints", exec, table, index, out);
}

void gather_floats(const ExecSpace& exec, View1D<const float> table, View1D<const int> index, View1D<float> out) {
  gather_values<float>("gather_floats", exec, table, index, out);
}

template <class T>
void combine_slots(const ExecSpace& exec, View2D<const T> y_PD, View2D<const int> position_P1, View1D<const int> row_P,
                   View1D<const float> weight_P, View1D<int> first_slot_S1, View2D<T> out_SD) {
  const int num_slots = position_P1.extent_int(0), num_rows = out_SD.extent_int(0), width = out_SD.extent_int(1);
  const bool weighted = weight_P.extent(0) > 0;
  require_same("combine_slots", "columns of y_PD", y_PD.extent(1), "columns of out_SD", out_SD.extent(1));
  require_same("combine_slots", "elements of row_P", row_P.extent(0), "slots", std::size_t(num_slots));
  require_same("combine_slots", "elements of first_slot_S1", first_slot_S1.extent(0), "rows + 1",
               std::size_t(num_rows) + 1);
  const LoggedOperation logged(exec, "combine_slots", [&] { return array_cost(y_PD, out_SD); });
  if (num_rows == 0) return;
  Kokkos::parallel_for(
      "m2::combine_slots::begin", Range(exec, 0, num_slots + 1), KOKKOS_LAMBDA(int p) {
        if (p == num_slots) {
          first_slot_S1(num_rows) = p;
        } else if (p == 0 || row_P(p) != row_P(p - 1)) {
          first_slot_S1(row_P(p)) = p;
        }
      });
  Kokkos::parallel_for(
      "m2::combine_slots", row_policy(exec, num_rows), KOKKOS_LAMBDA(const RowMember& team) {
        const int s = team.league_rank(), begin = first_slot_S1(s), end = first_slot_S1(s + 1);
        T* out = row(out_SD, s);
        row_tiles(team, width, [&](int first, auto tile_width) {
          constexpr int kWidth = decltype(tile_width)::value;
          float total[kWidth] = {};
          for (int p = begin; p < end; ++p) {
            const T* y = row(y_PD, position_P1(p, 0)) + first;
            const float weight = weighted ? weight_P(p) : 1.0f;
            for (int l = 0; l < kWidth; ++l) total[l] = fused_multiply_add(weight, float(y[l]), total[l]);
          }
          for (int l = 0; l < kWidth; ++l) out[first + l] = T(total[l]);
        });
      });
}

void count_experts(const ExecSpace& exec, View2D<const int> expert_TK, View1D<std::int64_t> count_E) {
  const LoggedOperation logged(exec, "count_experts", [&] { return array_cost(expert_TK); });
  const int num_slots = int(expert_TK.size()), top_k = expert_TK.extent_int(1);
  Kokkos::parallel_for(
      "m2::count_experts", Range(exec, 0, num_slots),
      KOKKOS_LAMBDA(int i) { Kokkos::atomic_inc(&count_E(expert_TK(i / top_k, i % top_k))); });
}

template void combine_slots<float>(const ExecSpace&, View2D<const float>, View2D<const int>, View1D<const int>,
                                   View1D<const float>, View1D<int>, View2D<float>);
template void combine_slots<Bf16>(const ExecSpace&, View2D<const Bf16>, View2D<const int>, View1D<const int>,
                                  View1D<const float>, View1D<int>, View2D<Bf16>);

}  // namespace m2
