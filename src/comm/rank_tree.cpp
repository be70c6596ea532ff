// SPDX-License-Identifier: Apache-2.0
#include "comm/rank_tree.hpp"

#include <algorithm>
#include <vector>

namespace m2 {
namespace {

constexpr int kChunk = 512;  // numbers of each rank that are in the cache together

template <Reduction kReduction>
void combine_rows(float* a, const float* b, int count) {
  for (int i = 0; i < count; ++i) a[i] = combine<kReduction>(a[i], b[i]);
}

template <Reduction kReduction>
void combine_levels(float* rows, int num_ranks, int count) {
  for (int step = 1; step < num_ranks; step *= 2) {
    for (int r = 0; r + step < num_ranks; r += 2 * step) {
      combine_rows<kReduction>(rows + r * kChunk, rows + (r + step) * kChunk, count);
    }
  }
}

}  // namespace

template <class T>
void reduce_by_tree(const T* parts, std::int64_t stride, int num_ranks, std::int64_t count, Reduction reduction,
                    T* out) {
  std::vector<float> rows(std::size_t(num_ranks) * kChunk);
  for (std::int64_t begin = 0; begin < count; begin += kChunk) {
    const int length = int(std::min<std::int64_t>(kChunk, count - begin));
    for (int r = 0; r < num_ranks; ++r) {
      for (int i = 0; i < length; ++i) rows[r * kChunk + i] = float(parts[r * stride + begin + i]);
    }
    if (reduction == Reduction::sum) combine_levels<Reduction::sum>(rows.data(), num_ranks, length);
    if (reduction == Reduction::max) combine_levels<Reduction::max>(rows.data(), num_ranks, length);
    if (reduction == Reduction::min) combine_levels<Reduction::min>(rows.data(), num_ranks, length);
    for (int i = 0; i < length; ++i) out[begin + i] = T(rows[i]);
  }
}

template void reduce_by_tree<float>(const float*, std::int64_t, int, std::int64_t, Reduction, float*);
template void reduce_by_tree<Bf16>(const Bf16*, std::int64_t, int, std::int64_t, Reduction, Bf16*);

}  // namespace m2
