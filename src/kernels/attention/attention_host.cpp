// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "kernels/attention/attention.hpp"
#include "kernels/attention/attention_variants.hpp"
#include "kernels/attention/products_host.hpp"
#include "kernels/common/math.hpp"
#include "kernels/common/rows.hpp"
#include "kernels/common/with_rows.hpp"

// A row is a token and a query head. Whatever rows are worked on together, each has its own chain of operations: scores
// by channel, weighted sums by position up to the row's own, pages in order.

namespace m2 {
namespace {

constexpr int kQueryTile = 64;  // rows of one task
static_assert(kKvPage % kStripe == 0 && kMaxHeadSize % kStripe == 0);

// A task is a tile of consecutive tokens, a key/value head, and a tile of the query heads that share it.
template <class T>
struct Problem {
  View2D<const T> q_TN;
  View4D<const T> k_NGCP, v_NGPC;
  BatchLayout layout;
  View2D<T> out_TN;
  View2D<float> lse_TH;
  float scale;
  int num_threads;
  int head_size() const { return k_NGCP.extent_int(2); }
  int num_kv_heads() const { return k_NGCP.extent_int(1); }
  int num_tokens() const { return q_TN.extent_int(0); }
  int group() const { return q_TN.extent_int(1) / (head_size() * num_kv_heads()); }
  int tile_heads() const { return std::min(group(), kQueryTile); }
  // Fewer than fit where tiles of so many would leave threads idle: in decode.
  int tile_tokens() const {
    const std::int64_t num_groups = std::int64_t(num_kv_heads()) * head_tiles();
    return int(std::clamp<std::int64_t>(num_tokens() * num_groups / num_threads, 1, kQueryTile / tile_heads()));
  }
  int head_tiles() const { return (group() + tile_heads() - 1) / tile_heads(); }
  int token_tiles() const { return (num_tokens() + tile_tokens() - 1) / tile_tokens(); }
  std::int64_t num_tasks() const { return std::int64_t(token_tiles()) * num_kv_heads() * head_tiles(); }
};

// Tokens of one sequence, and query heads that share key/value head g.
struct Tile {
  int first_token, num_tokens;
  int first_head, num_heads;
  int g;
  int num_rows() const { return num_tokens * num_heads; }
  int token(int row) const { return first_token + row / num_heads; }
  int column(int row, int head_size) const { return (first_head + row % num_heads) * head_size; }
};

// About 270 KB, of which a head size of 128 touches half.
struct TileMemory {
  alignas(64) float q[kQueryTile][kMaxHeadSize];
  alignas(64) float weighted_sum[kQueryTile][kMaxHeadSize];
  alignas(64) float key[kMaxHeadSize][kKvPage];
  alignas(64) float value[kKvPage][kMaxHeadSize];
  alignas(64) float score[kProductRows][kKvPage];
  float largest[kQueryTile], total[kQueryTile];
};

// Keys (by channel and position) and values (by position and channel) of a page.
template <class B, bool kFetchNext>
struct Page {
  RightMatrix<B, kFetchNext> key, value;
};

// Folds 64 numbers, halves onto halves: one order, and vector code.
template <class Fold>
float fold_page(const float* value, const Fold& fold) {
  static_assert(kKvPage == 64);
  float folded[16];
  for (int p = 0; p < 16; ++p) folded[p] = fold(fold(value[p], value[p + 32]), fold(value[p + 16], value[p + 48]));
  for (int half = 8; half > 0; half /= 2) {
    for (int p = 0; p < half; ++p) folded[p] = fold(folded[p], folded[p + half]);
  }
  return folded[0];
}

// Scores of one page become weights exp(score - largest); positions from `visible` on get weight 0.
void soften(float* score, int visible, float scale, float* largest, float* total, float* weighted_sum, int width) {
  const auto larger = [](float a, float b) { return a > b ? a : b; };
  for (int p = 0; p < kKvPage; ++p) {
    score[p] = p < visible ? score[p] * scale : -Kokkos::Experimental::infinity_v<float>;
  }
  const float new_largest = larger(fold_page(score, larger), *largest);
  for (int p = 0; p < kKvPage; ++p) score[p] = exponential(score[p] - new_largest);
  const float shrink = exponential(*largest - new_largest);
  *total = *total * shrink + fold_page(score, [](float a, float b) { return a + b; });
  *largest = new_largest;
  if (shrink == 1.0f) return;  // mostly so after the first pages
  for (int c = 0; c < width; ++c) weighted_sum[c] *= shrink;
}

// One page of the cache for `kRows` rows that see `visible` of its positions.
template <int kRows, class B, bool kFetchNext>
void attend_page(const Page<B, kFetchNext>& page, TileMemory& memory, int first_row, int visible, int head_size,
                 int width, float scale) {
  const std::make_integer_sequence<int, kRows> rows;
  add_products<true>(rows, LeftMatrix{memory.q[first_row], kMaxHeadSize}, head_size, page.key, kKvPage, memory.score[0],
                     kKvPage);
  for (int r = 0; r < kRows; ++r) {
    const int row = first_row + r;
    soften(memory.score[r], visible, scale, &memory.largest[row], &memory.total[row], memory.weighted_sum[row], width);
  }
  add_products<false>(rows, LeftMatrix{memory.score[0], kKvPage}, visible, page.value, width,
                      memory.weighted_sum[first_row], kMaxHeadSize);
}

template <class B, bool kFetchNext>
void attend_page(int num_rows, const Page<B, kFetchNext>& page, TileMemory& memory, int first_row, int visible,
                 int head_size, int width, float scale) {
  with_rows<1, kProductRows>(
      num_rows, [&](auto rows) { attend_page<rows()>(page, memory, first_row, visible, head_size, width, scale); });
}

// A page in float. Positions from `visible` on are never multiplied: they may hold anything.
template <class T>
Page<float, false> expand_page(const T* keys, const T* values, int visible, int head_size, int width,
                               TileMemory& memory) {
  for (int c = 0; c < head_size; ++c) {
    for (int p = 0; p < kKvPage; ++p) memory.key[c][p] = float(keys[c * kKvPage + p]);
  }
  for (int p = 0; p < visible; ++p) {
    for (int c = 0; c < head_size; ++c) memory.value[p][c] = float(values[p * head_size + c]);
    std::fill_n(memory.value[p] + head_size, width - head_size, 0.0f);
  }
  return {{memory.key[0], kKvPage}, {memory.value[0], kMaxHeadSize}};
}

template <class T>
void load_rows(const Problem<T>& problem, const Tile& tile, int width, TileMemory& memory) {
  for (int r = 0; r < tile.num_rows(); ++r) {
    const T* q = row(problem.q_TN, tile.token(r)) + tile.column(r, problem.head_size());
    for (int c = 0; c < problem.head_size(); ++c) memory.q[r][c] = float(q[c]);
    std::fill_n(memory.weighted_sum[r], width, 0.0f);
    memory.largest[r] = -Kokkos::Experimental::infinity_v<float>;
    memory.total[r] = 0.0f;
  }
}

template <class T>
void attend(const Problem<T>& problem, const Tile& tile, TileMemory& memory) {
  const int head_size = problem.head_size();
  const int width = whole_stripes(head_size);
  const auto visible_in = [&](int begin, int r) {
    return std::clamp(problem.layout.cache_position_T(tile.token(r)) + 1 - begin, 0, kKvPage);
  };
  const auto attend_rows = [&](const auto& page, int begin) {
    for (int first = 0, count = 0; first < tile.num_rows(); first += count) {
      const int visible = visible_in(begin, first);
      for (count = 1; count < kProductRows && first + count < tile.num_rows(); ++count) {
        if (visible_in(begin, first + count) != visible) break;
      }
      if (visible > 0) attend_page(count, page, memory, first, visible, head_size, width, problem.scale);
    }
  };
  load_rows(problem, tile, width, memory);
  int num_positions = 0;
  for (int r = 0; r < tile.num_rows(); ++r)
    num_positions = std::max(num_positions, problem.layout.cache_position_T(tile.token(r)) + 1);
  const auto page_at = [&](int begin) {
    const int n = problem.layout.page_table_BN(problem.layout.sequence_T(tile.first_token), begin / kKvPage);
    return std::pair(&problem.k_NGCP(n, tile.g, 0, 0), &problem.v_NGPC(n, tile.g, 0, 0));
  };
  // Rows that are multiplied at once, as in decode, wait for memory: they expand keys and values in registers.
  const bool is_decode = tile.num_rows() <= kProductRows && width == head_size;
  for (int begin = 0; begin < num_positions; begin += kKvPage) {
    const auto [keys, values] = page_at(begin);
    if (is_decode) {
      const auto [next_keys, next_values] = page_at(begin + kKvPage < num_positions ? begin + kKvPage : begin);
      attend_rows(Page<T, true>{{keys, kKvPage, next_keys}, {values, head_size, next_values}}, begin);
    } else {
      const int most_visible = std::min(kKvPage, num_positions - begin);
      attend_rows(expand_page(keys, values, most_visible, head_size, width, memory), begin);
    }
  }
  for (int r = 0; r < tile.num_rows(); ++r) {
    T* out = row(problem.out_TN, tile.token(r)) + tile.column(r, head_size);
    for (int c = 0; c < head_size; ++c) out[c] = T(memory.weighted_sum[r][c] / memory.total[r]);
    if (problem.lse_TH.size() > 0)
      problem.lse_TH(tile.token(r), tile.first_head + r % tile.num_heads) =
          memory.largest[r] + Kokkos::log(memory.total[r]);
  }
}

// Splits the task's tokens into runs of one sequence.
template <class T>
void attend_task(const Problem<T>& problem, std::int64_t task) {
  TileMemory memory;
  const int head_in_group = int(task % problem.head_tiles()) * problem.tile_heads();
  const int g = int(task / problem.head_tiles() % problem.num_kv_heads());
  const int tile_index = int(task / problem.head_tiles() / problem.num_kv_heads());
  const int num_heads = std::min(problem.tile_heads(), problem.group() - head_in_group);
  const int last_token = std::min(problem.num_tokens(), (tile_index + 1) * problem.tile_tokens());
  const auto& sequence_T = problem.layout.sequence_T;
  for (int first = tile_index * problem.tile_tokens(), last = first; first < last_token; first = last) {
    while (last < last_token && sequence_T(last) == sequence_T(first)) ++last;
    attend(problem, Tile{first, last - first, g * problem.group() + head_in_group, num_heads, g}, memory);
  }
}

}  // namespace

template <class T>
void attention_host(const ExecSpace& exec, View2D<const T> q_TN, const KvPages<T>& cache, const BatchLayout& layout,
                    float scale, View2D<T> out_TN, View2D<float> lse_TH) {
  const Problem<T> problem{q_TN, cache.k_NGCP, cache.v_NGPC, layout, out_TN, lse_TH, scale, exec.concurrency()};
  // Late tokens see more of the cache than early ones: threads take tasks as they become free.
  using Policy = Kokkos::RangePolicy<ExecSpace, Kokkos::Schedule<Kokkos::Dynamic>, Kokkos::IndexType<std::int64_t>>;
  Kokkos::parallel_for("m2::attention", Policy(exec, 0, problem.num_tasks(), Kokkos::ChunkSize(1)),
                       [=](std::int64_t task) { attend_task(problem, task); });
}

template void attention_host<float>(const ExecSpace&, View2D<const float>, const KvPages<float>&, const BatchLayout&,
                                    float, View2D<float>, View2D<float>);
template void attention_host<Bf16>(const ExecSpace&, View2D<const Bf16>, const KvPages<Bf16>&, const BatchLayout&,
                                   float, View2D<Bf16>, View2D<float>);

}  // namespace m2
