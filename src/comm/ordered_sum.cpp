// SPDX-License-Identifier: Apache-2.0
#include "comm/ordered_sum.hpp"

#include <algorithm>

#include "comm/bytes.hpp"

namespace m2 {
namespace {

constexpr int kMaxOpen = 128;  // subtrees of a range of 2^63 leaves: sizes go up, then down

// Leaves [first, first + 2^level) of the whole; first is a multiple of 2^level.
struct Subtree {
  std::int64_t first;
  int level;
};

// The largest subtrees of leaves [first, last).
std::vector<Subtree> subtrees_of(std::int64_t first, std::int64_t last) {
  std::vector<Subtree> subtrees;
  while (first < last) {
    int level = 0;
    while (level < 62 && first % (std::int64_t(2) << level) == 0 && first + (std::int64_t(2) << level) <= last) ++level;
    subtrees.push_back({first, level});
    first += std::int64_t(1) << level;
  }
  return subtrees;
}

// How often, after each subtree was laid on a stack, its two topmost are added, so that what is left are again the
// largest subtrees.
std::vector<int> num_additions(const std::vector<Subtree>& subtrees) {
  std::vector<int> additions;
  std::vector<Subtree> stack;
  for (Subtree top : subtrees) {
    int count = 0;
    for (; !stack.empty() && stack.back().level == top.level && top.first >> top.level & 1; ++count) {
      top = {stack.back().first, top.level + 1};
      stack.pop_back();
    }
    stack.push_back(top);
    additions.push_back(count);
  }
  return additions;
}

View1D<int> on_device(const ExecSpace& exec, const std::vector<int>& values) {
  View1D<int> copy(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, "m2::ordered_sum::additions"), values.size());
  copy_bytes<MemorySpace, HostSpace>(exec, copy.data(), values.data(), std::int64_t(values.size() * sizeof(int)));
  exec.fence("m2::ordered_sum: the host's vector ends");
  return copy;
}

// Column w: lays row after row of rows_NW on a stack with additions_N, and what is left into out_MW.
void add_up(const ExecSpace& exec, View2D<const float> rows_NW, const std::vector<int>& additions,
            View2D<float> out_MW) {
  const View1D<int> additions_N = on_device(exec, additions);
  const std::int64_t num_rows = std::int64_t(additions.size());
  Kokkos::parallel_for(
      "m2::ordered_sum", Kokkos::RangePolicy<ExecSpace>(exec, 0, out_MW.extent(1)), KOKKOS_LAMBDA(std::int64_t w) {
        float stack[kMaxOpen];
        int open = 0;
        for (std::int64_t n = 0; n < num_rows; ++n) {
          float sum = rows_NW(n, w);
          for (int i = 0; i < additions_N(n); ++i) sum = stack[--open] + sum;
          stack[open++] = sum;
        }
        for (int m = 0; m < open; ++m) out_MW(m, w) = stack[m];
      });
}

View2D<float> matrix(const ExecSpace& exec, std::int64_t rows, std::int64_t columns) {
  return View2D<float>(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, "m2::ordered_sum::subtrees"), rows,
                       columns);
}

// Which leaves each rank has: [first[r], first[r + 1]).
std::vector<std::int64_t> first_leaves(Communicator& communicator, std::int64_t num_leaves) {
  std::vector<std::int64_t> first{0};
  for (const std::int64_t of_rank : communicator.all_gather_values(std::span(&num_leaves, 1))) {
    first.push_back(first.back() + of_rank);
  }
  return first;
}

// Every rank's subtrees, in order. own_MW has one row for each of this rank's.
View2D<float> gather(const ExecSpace& exec, Communicator& communicator, View2D<const float> own_MW,
                     const std::vector<std::int64_t>& num_subtrees) {
  std::int64_t all = 0;
  for (const std::int64_t count : num_subtrees) all += count;
  const View2D<float> out = matrix(exec, all, std::int64_t(own_MW.extent(1)));
  // Each rank sends all it has to every rank: its rows, once for each.
  const std::int64_t own = std::int64_t(own_MW.extent(0));
  const View2D<float> copies = matrix(exec, own * communicator.size(), std::int64_t(own_MW.extent(1)));
  for (int r = 0; r < communicator.size(); ++r) {
    copy_bytes(exec, copies.data() + r * std::int64_t(own_MW.size()), own_MW.data(),
               std::int64_t(own_MW.size() * sizeof(float)));
  }
  const std::vector<std::int64_t> send_rows(communicator.size(), own);
  communicator.all_to_all_v<float>(exec, copies, send_rows, out, num_subtrees);
  return out;
}

}  // namespace

void ordered_sum(const ExecSpace& exec, Communicator& communicator, View2D<const float> leaves_LW,
                 View1D<float> out_W) {
  M2_REQUIRE(leaves_LW.extent(1) == out_W.extent(0), "ordered_sum: leaves have {} columns, out {}; both need the same",
             leaves_LW.extent(1), out_W.extent(0));
  const std::vector<std::int64_t> first = first_leaves(communicator, std::int64_t(leaves_LW.extent(0)));
  if (first.back() == 0) return Kokkos::deep_copy(exec, out_W, 0.0f);

  std::vector<Subtree> all;
  std::vector<std::int64_t> num_subtrees;
  for (int r = 0; r < communicator.size(); ++r) {
    const std::vector<Subtree> of_rank = subtrees_of(first[r], first[r + 1]);
    all.insert(all.end(), of_rank.begin(), of_rank.end());
    num_subtrees.push_back(std::int64_t(of_rank.size()));
  }
  std::vector<Subtree> leaves;
  for (std::int64_t l = first[communicator.rank()]; l < first[communicator.rank() + 1]; ++l) leaves.push_back({l, 0});
  const View2D<float> own = matrix(exec, num_subtrees[communicator.rank()], std::int64_t(out_W.extent(0)));
  add_up(exec, leaves_LW, num_additions(leaves), own);

  const View2D<float> gathered = gather(exec, communicator, own, num_subtrees);
  std::vector<int> additions = num_additions(all);
  int open = 0;
  for (const int count : additions) open += 1 - count;
  additions.back() += open - 1;  // one without a neighbour moves up: the last ones are added from the right
  add_up(exec, gathered, additions, View2D<float>(out_W.data(), 1, out_W.extent(0)));
  exec.fence("m2::ordered_sum: temporary arrays end");
}

}  // namespace m2
