// SPDX-License-Identifier: Apache-2.0
#include "comm/rank_tree.hpp"

#include <algorithm>
#include <vector>

namespace m2 {
namespace {

constexpr int kChunk = 512;  // numbers of each rank that are in the cache together

// A NaN stays.
template <Reduction kReduction>
KOKKOS_INLINE_FUNCTION float combine(float a, float b) {
  if constexpr (kReduction == Reduction::sum) return a + b;
  if constexpr (kReduction == Reduction::max) return a != a || a >= b ? a : b;
  return a != a || a <= b ? a : b;
}

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

// The same tree, one element per thread: subtrees lie on a stack, and two of one size become one.
template <Reduction kReduction, class T>
void launch_reduce_parts(const ExecSpace& exec, const T* parts, int num_ranks, std::int64_t count, T* out) {
  Kokkos::parallel_for(
      "m2::comm::reduce_parts", Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(exec, 0, count),
      KOKKOS_LAMBDA(std::int64_t i) {
        float stack[32];
        int open = 0;
        for (int r = 0; r < num_ranks; ++r) {
          float value = float(parts[r * count + i]);
          for (int bits = r; (bits & 1) != 0; bits >>= 1) value = combine<kReduction>(stack[--open], value);
          stack[open++] = value;
        }
        float value = stack[--open];
        while (open > 0) value = combine<kReduction>(stack[--open], value);
        out[i] = T(value);
      });
}

template <class T>
void reduce_parts_of(const ExecSpace& exec, const void* parts, int num_ranks, std::int64_t count, Reduction reduction,
                     void* out) {
  const T* from = static_cast<const T*>(parts);
  T* to = static_cast<T*>(out);
  if (reduction == Reduction::sum) launch_reduce_parts<Reduction::sum>(exec, from, num_ranks, count, to);
  if (reduction == Reduction::max) launch_reduce_parts<Reduction::max>(exec, from, num_ranks, count, to);
  if (reduction == Reduction::min) launch_reduce_parts<Reduction::min>(exec, from, num_ranks, count, to);
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

void reduce_parts(const ExecSpace& exec, DType dtype, const void* parts, int num_ranks, std::int64_t count,
                  Reduction reduction, void* out) {
  if (dtype == DType::float32) return reduce_parts_of<float>(exec, parts, num_ranks, count, reduction, out);
  M2_REQUIRE(dtype == DType::bfloat16, "reduce_parts: {} given, float32 or bfloat16 expected", name(dtype));
  reduce_parts_of<Bf16>(exec, parts, num_ranks, count, reduction, out);
}

template void reduce_by_tree<float>(const float*, std::int64_t, int, std::int64_t, Reduction, float*);
template void reduce_by_tree<Bf16>(const Bf16*, std::int64_t, int, std::int64_t, Reduction, Bf16*);

}  // namespace m2
