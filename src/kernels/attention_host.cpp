// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/attention.hpp"
#include "kernels/attention_variants.hpp"
#include "kernels/math.hpp"
#include "kernels/rows.hpp"

// A row is a token and a query head. Whatever rows are worked on together, each has its own chain of operations: scores
// by channel, weighted sums by position up to the row's own, blocks in order.

namespace m2 {
namespace {

constexpr int kTileRows = 64;  // rows of one task
constexpr int kPanelRows = 6;  // rows multiplied at once: with 64 columns, 24 of 32 AVX-512 registers hold their sums
constexpr int kPanelColumns = 64;
static_assert(kKvBlock == kPanelColumns && kMaxHeadSize % kPanelColumns == 0);

// A task is a tile of consecutive tokens, a key/value head, and a tile of the query heads that share it.
template <class T>
struct Problem {
  View2D<const T> q_TN;
  View4D<const T> k_NGCP, v_NGPC;
  BatchLayout layout;
  View2D<T> out_TN;
  float scale;
  int head_size() const { return k_NGCP.extent_int(2); }
  int num_kv_heads() const { return k_NGCP.extent_int(1); }
  int num_tokens() const { return q_TN.extent_int(0); }
  int group() const { return q_TN.extent_int(1) / (head_size() * num_kv_heads()); }
  int tile_heads() const { return std::min(group(), kTileRows); }
  int tile_tokens() const { return kTileRows / tile_heads(); }
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
  alignas(64) float q[kTileRows][kMaxHeadSize];
  alignas(64) float weighted_sum[kTileRows][kMaxHeadSize];
  alignas(64) float key[kMaxHeadSize][kKvBlock];
  alignas(64) float value[kKvBlock][kMaxHeadSize];
  alignas(64) float score[kPanelRows][kKvBlock];
  float largest[kTileRows], total[kTileRows];
};

// sum[r][j] += sum over i of a[r][i] * b[i][j], i ascending in one chain of fused operations, for 64 columns j.
template <int kRows>
void add_products(const float* a, int a_stride, int count, const float* b, int b_stride, float* sum, int sum_stride) {
  float partial[kRows][kPanelColumns];
  for (int r = 0; r < kRows; ++r) {
    for (int j = 0; j < kPanelColumns; ++j) partial[r][j] = sum[r * sum_stride + j];
  }
  for (int i = 0; i < count; ++i) {
    for (int r = 0; r < kRows; ++r) {
      const float factor = a[r * a_stride + i];
      for (int j = 0; j < kPanelColumns; ++j)
        partial[r][j] = fused_multiply_add(factor, b[i * b_stride + j], partial[r][j]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int j = 0; j < kPanelColumns; ++j) sum[r * sum_stride + j] = partial[r][j];
  }
}

// Scores of one block become weights exp(score - largest); positions from `visible` on get weight 0.
void soften(float* score, int visible, float scale, float* largest, float* total, float* weighted_sum, int width) {
  float block_largest = *largest;
  for (int p = 0; p < kKvBlock; ++p) {
    score[p] = p < visible ? score[p] * scale : -Kokkos::Experimental::infinity_v<float>;
    block_largest = score[p] > block_largest ? score[p] : block_largest;
  }
  float sum[kKvBlock];
  for (int p = 0; p < kKvBlock; ++p) sum[p] = score[p] = exponential(score[p] - block_largest);
  for (int half = kKvBlock / 2; half > 0; half /= 2) {
    for (int p = 0; p < half; ++p) sum[p] += sum[p + half];
  }
  const float shrink = exponential(*largest - block_largest);
  *total = *total * shrink + sum[0];
  *largest = block_largest;
  for (int c = 0; c < width; c += kPanelColumns) {
    for (int j = 0; j < kPanelColumns; ++j) weighted_sum[c + j] *= shrink;
  }
}

// One block of the cache for `kRows` rows that see `visible` of its positions.
template <int kRows>
void attend_block(TileMemory& memory, int first_row, int visible, int head_size, int width, float scale) {
  for (int r = 0; r < kRows; ++r) std::fill_n(memory.score[r], kKvBlock, 0.0f);
  add_products<kRows>(memory.q[first_row], kMaxHeadSize, head_size, memory.key[0], kKvBlock, memory.score[0], kKvBlock);
  for (int r = 0; r < kRows; ++r) {
    const int row = first_row + r;
    soften(memory.score[r], visible, scale, &memory.largest[row], &memory.total[row], memory.weighted_sum[row], width);
  }
  for (int c = 0; c < width; c += kPanelColumns) {
    add_products<kRows>(memory.score[0], kKvBlock, visible, memory.value[0] + c, kMaxHeadSize,
                        memory.weighted_sum[first_row] + c, kMaxHeadSize);
  }
}

void attend_block(int num_rows, TileMemory& memory, int first_row, int visible, int head_size, int width, float scale) {
  switch (num_rows) {
    case 1:
      return attend_block<1>(memory, first_row, visible, head_size, width, scale);
    case 2:
      return attend_block<2>(memory, first_row, visible, head_size, width, scale);
    case 3:
      return attend_block<3>(memory, first_row, visible, head_size, width, scale);
    case 4:
      return attend_block<4>(memory, first_row, visible, head_size, width, scale);
    case 5:
      return attend_block<5>(memory, first_row, visible, head_size, width, scale);
    default:
      return attend_block<kPanelRows>(memory, first_row, visible, head_size, width, scale);
  }
}

// Expands a block to float. Positions from `visible` on are never multiplied: they may hold anything.
template <class T>
void load_block(const T* keys, const T* values, int visible, int head_size, int width, TileMemory& memory) {
  for (int c = 0; c < head_size; ++c) {
    for (int p = 0; p < kKvBlock; ++p) memory.key[c][p] = float(keys[c * kKvBlock + p]);
  }
  for (int p = 0; p < visible; ++p) {
    for (int c = 0; c < head_size; ++c) memory.value[p][c] = float(values[p * head_size + c]);
    std::fill_n(memory.value[p] + head_size, width - head_size, 0.0f);
  }
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
  const int width = (head_size + kPanelColumns - 1) / kPanelColumns * kPanelColumns;
  const auto visible_in = [&](int begin, int r) {
    return std::clamp(problem.layout.cache_position_T(tile.token(r)) + 1 - begin, 0, kKvBlock);
  };
  load_rows(problem, tile, width, memory);
  int num_positions = 0;
  for (int r = 0; r < tile.num_rows(); ++r)
    num_positions = std::max(num_positions, problem.layout.cache_position_T(tile.token(r)) + 1);
  for (int begin = 0; begin < num_positions; begin += kKvBlock) {
    const int block = problem.layout.block_table_BN(problem.layout.sequence_T(tile.first_token), begin / kKvBlock);
    load_block(&problem.k_NGCP(block, tile.g, 0, 0), &problem.v_NGPC(block, tile.g, 0, 0),
               std::min(kKvBlock, num_positions - begin), head_size, width, memory);
    for (int first = 0, count = 0; first < tile.num_rows(); first += count) {
      const int visible = visible_in(begin, first);
      for (count = 1; count < kPanelRows && first + count < tile.num_rows(); ++count) {
        if (visible_in(begin, first + count) != visible) break;
      }
      if (visible > 0) attend_block(count, memory, first, visible, head_size, width, problem.scale);
    }
  }
  for (int r = 0; r < tile.num_rows(); ++r) {
    T* out = row(problem.out_TN, tile.token(r)) + tile.column(r, head_size);
    for (int c = 0; c < head_size; ++c) out[c] = T(memory.weighted_sum[r][c] / memory.total[r]);
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

// In a build for a device this is compiled and never launched.
template <class T>
KOKKOS_INLINE_FUNCTION void on_host_attend_task([[maybe_unused]] const Problem<T>& problem,
                                                [[maybe_unused]] std::int64_t task) {
  KOKKOS_IF_ON_HOST((attend_task(problem, task);))
}

}  // namespace

template <class T>
void attention_host(const ExecSpace& exec, View2D<const T> q_TN, const KvBlocks<T>& cache, const BatchLayout& layout,
                    float scale, View2D<T> out_TN) {
  const Problem<T> problem{q_TN, cache.k_NGCP, cache.v_NGPC, layout, out_TN, scale};
  // Late tokens see more of the cache than early ones: threads take tasks as they become free.
  using Policy = Kokkos::RangePolicy<ExecSpace, Kokkos::Schedule<Kokkos::Dynamic>, Kokkos::IndexType<std::int64_t>>;
  Kokkos::parallel_for(
      "m2::attention", Policy(exec, 0, problem.num_tasks(), Kokkos::ChunkSize(1)),
      KOKKOS_LAMBDA(std::int64_t task) { on_host_attend_task(problem, task); });
}

template void attention_host<float>(const ExecSpace&, View2D<const float>, const KvBlocks<float>&, const BatchLayout&,
                                    float, View2D<float>);
template void attention_host<Bf16>(const ExecSpace&, View2D<const Bf16>, const KvBlocks<Bf16>&, const BatchLayout&,
                                   float, View2D<Bf16>);

}  // namespace m2
