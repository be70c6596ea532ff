// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/attention/attention.hpp"
#include "kernels/attention/attention_backward_variants.hpp"
#include "kernels/attention/products_host.hpp"
#include "kernels/common/math.hpp"
#include "kernels/common/rows.hpp"

// A tile is the tokens of a sequence at the positions of one page, so that it depends on the sequence alone. Where
// tokens meet their own page they see a triangle of it: products leave out stripes of columns and terms of which
// nothing is seen, and what is left of them has weight 0.

namespace m2 {
namespace {

constexpr int kTile = kKvPage;
// Odd numbers of cache lines, so that the lines of a column lie in different sets of the cache.
constexpr int kTileStride = kTile + 16;
constexpr int kChannelStride = kMaxHeadSize + 16;
static_assert(kTile % kStripe == 0 && kMaxHeadSize % kStripe == 0);

struct alignas(64) TileByTile {
  float at[kTile][kTileStride];
};
struct alignas(64) TileByChannel {
  float at[kTile][kChannelStride];
};
struct alignas(64) ChannelByTile {
  float at[kMaxHeadSize][kTileStride];
};

// Of tokens (rows) and positions (columns), or the other way round.
struct TileWeights {
  TileByTile weight{}, dscore{};               // first scores and dout v^T
  alignas(64) float lse[kTile], delta[kTile];  // of the tokens, then zeros
};

// About 500 KB at the largest head size, of which one of 128 touches half.
struct KeyMemory {
  ChannelByTile key, value;
  TileByChannel q, dout, dk, dv;
  TileWeights weights;
};
struct QueryMemory {
  ChannelByTile key, q, dout, dq;
  TileByChannel value;
  TileWeights weights;
};

// Sequence b has the slots from sequence_begin_B1(b) / kTile + b on, at least as many as it has tiles.
struct SequenceTile {
  int first_token, num_tokens;  // of the whole sequence
  int index;
  bool exists() const { return index * kTile < num_tokens; }
  int num_tiles() const { return (num_tokens + kTile - 1) / kTile; }
  int first_token_of(int i) const { return first_token + i * kTile; }
  int num_tokens_of(int i) const { return std::min(kTile, num_tokens - i * kTile); }
};

template <class T>
std::int64_t num_slots(const AttentionBackward<T>& of) {
  return of.num_tokens() / kTile + of.num_sequences();
}

template <class T>
SequenceTile tile_in(const AttentionBackward<T>& of, int slot) {
  const auto first_slot = [&](int b) { return of.sequence_begin_B1(b) / kTile + b; };
  const int b = find_range(of.num_sequences(), slot, first_slot);
  const int first = of.sequence_begin_B1(b);
  return {first, of.sequence_begin_B1(b + 1) - first, slot - first_slot(b)};
}

template <class T>
struct KeyPage {
  const T *keys, *values;
};

template <class T>
KeyPage<T> page_of(const AttentionBackward<T>& of, const SequenceTile& tile, int i, int g) {
  const int n = of.layout.page_table_BN(of.layout.sequence_T(tile.first_token), i);
  return {&of.k_NGCP(n, g, 0, 0), &of.v_NGPC(n, g, 0, 0)};
}

// to[i][j] = from[i * from_stride + j], with zeros up to a whole stripe.
template <class T>
void load(const T* from, std::int64_t from_stride, int num_rows, int num_columns, float* to, int to_stride) {
  for (int i = 0; i < num_rows; ++i) {
    for (int j = 0; j < num_columns; ++j) to[i * to_stride + j] = float(from[i * from_stride + j]);
    for (int j = num_columns; j < whole_stripes(num_columns); ++j) to[i * to_stride + j] = 0.0f;
  }
}

// to[j][i] = from[i * from_stride + j], with zeros for rows up to a whole tile.
template <class T>
void load_transposed(const T* from, std::int64_t from_stride, int num_rows, int num_columns, ChannelByTile& to) {
  for (int i = 0; i < num_rows; ++i) {
    for (int j = 0; j < num_columns; ++j) to.at[j][i] = float(from[i * from_stride + j]);
  }
  for (int j = 0; j < num_columns; ++j) std::fill_n(to.at[j] + num_rows, kTile - num_rows, 0.0f);
}

template <class T>
void load_row_numbers(const AttentionBackward<T>& of, const SequenceTile& tile, int i, int h, TileWeights& weights) {
  for (int r = 0; r < kTile; ++r) {
    const bool exists = r < tile.num_tokens_of(i);
    weights.lse[r] = exists ? of.lse_TH(tile.first_token_of(i) + r, h) : 0.0f;
    weights.delta[r] = exists ? of.delta_TH(tile.first_token_of(i) + r, h) : 0.0f;
  }
}

// Scores become weights, dout v^T the gradients of scores. Tokens see positions up to their own + `ahead`.
template <bool kRowsAreTokens>
void weigh_again(int num_rows, int ahead, float scale, TileWeights& of) {
  for (int i = 0; i < num_rows; ++i) {
    float *weight = of.weight.at[i], *dscore = of.dscore.at[i];
    const auto sees = [=](int j) { return kRowsAreTokens ? j <= i + ahead : i <= j + ahead; };
    for (int j = 0; j < kTile; ++j) {
      const float lse = of.lse[kRowsAreTokens ? i : j];
      weight[j] = sees(j) ? weight[j] * scale - lse : -Kokkos::Experimental::infinity_v<float>;
    }
    for (int j = 0; j < kTile; ++j) weight[j] = exponential(weight[j]);
    for (int j = 0; j < kTile; ++j) {
      const float product = weight[j] * (dscore[j] - of.delta[kRowsAreTokens ? i : j]);
      dscore[j] = sees(j) ? product : 0.0f;
    }
  }
}

// What the tokens of tile i and one head add to dk and dv of a page that they see; is_own: it is theirs.
void add_to_page(int num_tokens, int num_positions, bool is_own, int head_size, float scale, KeyMemory& memory) {
  auto& [weight, dscore, lse, delta] = memory.weights;
  const int width = whole_stripes(head_size);
  for_row_panels(num_tokens, [&](int first, auto rows) {
    const int columns = is_own ? std::min(kTile, whole_stripes(first + int(rows.size()))) : kTile;
    add_products<true>(rows, LeftMatrix{memory.q.at[first], kChannelStride}, head_size,
                       RightMatrix<>{memory.key.at[0], kTileStride}, columns, weight.at[first], kTileStride);
    add_products<true>(rows, LeftMatrix{memory.dout.at[first], kChannelStride}, head_size,
                       RightMatrix<>{memory.value.at[0], kTileStride}, columns, dscore.at[first], kTileStride);
  });
  weigh_again<true>(num_tokens, is_own ? 0 : kTile, scale, memory.weights);
  for_row_panels(num_positions, [&](int first, auto rows) {
    const int from = is_own ? first : 0;
    add_products<false>(rows, LeftMatrix{&weight.at[from][first], 1, kTileStride}, num_tokens - from,
                        RightMatrix<>{memory.dout.at[from], kChannelStride}, width, memory.dv.at[first],
                        kChannelStride);
    add_products<false>(rows, LeftMatrix{&dscore.at[from][first], 1, kTileStride}, num_tokens - from,
                        RightMatrix<>{memory.q.at[from], kChannelStride}, width, memory.dk.at[first], kChannelStride);
  });
}

template <class T>
void page_task(const AttentionBackward<T>& of, int slot, int g) {
  const SequenceTile tile = tile_in(of, slot);
  if (!tile.exists()) return;
  KeyMemory memory;
  const int head_size = of.head_size(), num_positions = tile.num_tokens_of(tile.index);
  const std::int64_t stride = of.q_TN.extent(1);
  const KeyPage<T> page = page_of(of, tile, tile.index, g);
  load(page.keys, kKvPage, head_size, kTile, memory.key.at[0], kTileStride);
  load_transposed(page.values, head_size, num_positions, head_size, memory.value);
  for (TileByChannel* sum : {&memory.dk, &memory.dv}) {
    for (int p = 0; p < num_positions; ++p) std::fill_n(sum->at[p], whole_stripes(head_size), 0.0f);
  }
  for (int i = tile.index; i < tile.num_tiles(); ++i) {
    const int token = tile.first_token_of(i), num_tokens = tile.num_tokens_of(i);
    for (int h = g * of.group(); h < (g + 1) * of.group(); ++h) {
      load(row(of.q_TN, token) + h * head_size, stride, num_tokens, head_size, memory.q.at[0], kChannelStride);
      load(row(of.dout_TN, token) + h * head_size, stride, num_tokens, head_size, memory.dout.at[0], kChannelStride);
      load_row_numbers(of, tile, i, h, memory.weights);
      add_to_page(num_tokens, num_positions, i == tile.index, head_size, of.scale, memory);
    }
  }
  for (int p = 0; p < num_positions; ++p) {
    T* dk = row(of.dk_TM, tile.first_token_of(tile.index) + p) + g * head_size;
    T* dv = row(of.dv_TM, tile.first_token_of(tile.index) + p) + g * head_size;
    for (int c = 0; c < head_size; ++c) dk[c] = T(of.scale * memory.dk.at[p][c]);
    for (int c = 0; c < head_size; ++c) dv[c] = T(memory.dv.at[p][c]);
  }
}

// What a page adds to dq of the tokens of a tile. All is transposed, tokens are columns: then nothing of the page is.
void add_to_tokens(int num_positions, bool is_own, int head_size, float scale, QueryMemory& memory) {
  auto& [weight, dscore, lse, delta] = memory.weights;
  for_row_panels(num_positions, [&](int first, auto rows) {
    const int from = is_own ? first / kStripe * kStripe : 0;
    add_products<true>(rows, LeftMatrix{&memory.key.at[0][first], 1, kTileStride}, head_size,
                       RightMatrix<>{memory.q.at[0] + from, kTileStride}, kTile - from, weight.at[first] + from,
                       kTileStride);
    add_products<true>(rows, LeftMatrix{memory.value.at[first], kChannelStride}, head_size,
                       RightMatrix<>{memory.dout.at[0] + from, kTileStride}, kTile - from, dscore.at[first] + from,
                       kTileStride);
  });
  weigh_again<false>(num_positions, is_own ? 0 : kTile, scale, memory.weights);
  for_row_panels(head_size, [&](int first, auto rows) {
    for (int column = 0; column < kTile; column += kStripe) {
      const int terms = is_own ? std::min(num_positions, column + kStripe) : num_positions;
      add_products<false>(rows, LeftMatrix{memory.key.at[first], kTileStride}, terms,
                          RightMatrix<>{dscore.at[0] + column, kTileStride}, kStripe, memory.dq.at[first] + column,
                          kTileStride);
    }
  });
}

template <class T>
void query_task(const AttentionBackward<T>& of, int slot, int h) {
  const SequenceTile tile = tile_in(of, slot);
  if (!tile.exists()) return;
  QueryMemory memory;
  const int head_size = of.head_size(), token = tile.first_token_of(tile.index);
  const int num_tokens = tile.num_tokens_of(tile.index);
  const std::int64_t stride = of.q_TN.extent(1);
  load_transposed(row(of.q_TN, token) + h * head_size, stride, num_tokens, head_size, memory.q);
  load_transposed(row(of.dout_TN, token) + h * head_size, stride, num_tokens, head_size, memory.dout);
  load_row_numbers(of, tile, tile.index, h, memory.weights);
  for (int c = 0; c < head_size; ++c) std::fill_n(memory.dq.at[c], kTile, 0.0f);
  for (int i = 0; i <= tile.index; ++i) {
    const KeyPage<T> page = page_of(of, tile, i, h / of.group());
    const int num_positions = tile.num_tokens_of(i);
    load(page.keys, kKvPage, head_size, kTile, memory.key.at[0], kTileStride);
    load(page.values, head_size, num_positions, head_size, memory.value.at[0], kChannelStride);
    add_to_tokens(num_positions, i == tile.index, head_size, of.scale, memory);
  }
  for (int r = 0; r < num_tokens; ++r) {
    T* dq = row(of.dq_TN, token + r) + h * head_size;
    for (int c = 0; c < head_size; ++c) dq[c] = T(of.scale * memory.dq.at[c][r]);
  }
}

}  // namespace

template <class T>
void attention_backward_host(const ExecSpace& exec, const AttentionBackward<T>& arguments) {
  // Late tokens see more of a sequence than early ones: threads take tasks as they become free, the longest first.
  using Policy = Kokkos::RangePolicy<ExecSpace, Kokkos::Schedule<Kokkos::Dynamic>, Kokkos::IndexType<std::int64_t>>;
  const std::int64_t slots = num_slots(arguments), num_heads = arguments.num_heads();
  const std::int64_t num_kv_heads = arguments.num_kv_heads();
  Kokkos::parallel_for(
      "m2::attention_backward::keys_values", Policy(exec, 0, slots * num_kv_heads, Kokkos::ChunkSize(1)),
      [=](std::int64_t task) { page_task(arguments, int(task / num_kv_heads), int(task % num_kv_heads)); });
  Kokkos::parallel_for(
      "m2::attention_backward::queries", Policy(exec, 0, slots * num_heads, Kokkos::ChunkSize(1)),
      [=](std::int64_t task) { query_task(arguments, int(slots - 1 - task / num_heads), int(task % num_heads)); });
}

template void attention_backward_host<float>(const ExecSpace&, const AttentionBackward<float>&);
template void attention_backward_host<Bf16>(const ExecSpace&, const AttentionBackward<Bf16>&);

}  // namespace m2
