// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <type_traits>

#include "kernels/common/simd.hpp"
#include "kernels/gemm/gemm_providers.hpp"

namespace m2 {
namespace {

// The provider `kokkos` on hosts. A tile of kHostTileRows x kHostTileOutputs dot products is kept in vector registers
// while both of its operands run along their contiguous K. Every output has the order of dot() in simd.hpp (FP8: of
// dot() per block of 128 columns, times the block's scale) in whatever tile it is computed, so its bits depend on its
// row and weight alone.

#ifdef M2_HAS_AVX2
/// 4 accumulators, 2 weights and 1 activation, of two registers each, fill 14 of 16.
constexpr int kHostTileRows = 2;
constexpr int kHostTileOutputs = 2;
#else
/// 24 accumulators, 4 weights and 1 activation fill 29 of 32 AVX-512 registers. Measured on Zen 5, one core, bfloat16,
/// in cache: 6 x 4 183 GFLOP/s, 4 x 4 167, 5 x 5 174, 8 x 2 147.
constexpr int kHostTileRows = 6;
constexpr int kHostTileOutputs = 4;
#endif
/// A task's activations should stay in half of a core's second-level cache (1 MB on Zen 4 and 5) for all its outputs.
constexpr std::int64_t kTaskActivationBytes = 512 << 10;
constexpr int kTaskOutputs = 32;
static_assert(kTaskOutputs % kHostTileOutputs == 0 && kFp8Block % kLanes == 0);

/// What one tile reads: the first of its activation rows, its weight rows, and for FP8 the scales along each of those.
template <class T, class W>
struct TileOperands {
  const T* x_MK;
  const W* w_NK[kHostTileOutputs];
  const float* scale_inv_N[kHostTileOutputs];
  int num_columns;
};

/// sums[m][n] += x[m] * w[n], lane by lane, for the columns that `load` takes at k.
template <int kRows, class T, class W, class Load>
KOKKOS_FORCEINLINE_FUNCTION void add_tile_products(const TileOperands<T, W>& tile, int k, const Load& load,
                                                   Lanes (&sums)[kRows][kHostTileOutputs]) {
  Lanes w_N[kHostTileOutputs];
  for (int n = 0; n < kHostTileOutputs; ++n) w_N[n] = load(tile.w_NK[n] + k);
  for (int m = 0; m < kRows; ++m) {
    const Lanes x = load(tile.x_MK + std::int64_t(m) * tile.num_columns + k);
    for (int n = 0; n < kHostTileOutputs; ++n) sums[m][n] = fused_multiply_add(x, w_N[n], sums[m][n]);
  }
}

template <int kRows>
KOKKOS_FORCEINLINE_FUNCTION void set_to_zero(Lanes (&sums)[kRows][kHostTileOutputs]) {
  for (int m = 0; m < kRows; ++m) {
    for (int n = 0; n < kHostTileOutputs; ++n) sums[m][n] = broadcast(0.0f);
  }
}

/// The same for columns [begin, end).
template <int kRows, class T, class W>
KOKKOS_FORCEINLINE_FUNCTION void add_dot_products(const TileOperands<T, W>& tile, int begin, int end,
                                                  Lanes (&sums)[kRows][kHostTileOutputs]) {
  int k = begin;
  for (; k + kLanes <= end; k += kLanes) {
    add_tile_products(tile, k, [](const auto* from) { return load_lanes(from); }, sums);
  }
  const int rest = end - k;
  if (rest > 0) add_tile_products(tile, k, [rest](const auto* from) { return load_lanes(from, rest); }, sums);
}

/// out[m][n] = x[m] . w[n].
template <int kRows, class T, class W>
void multiply_tile(const TileOperands<T, W>& tile, float (&out)[kRows][kHostTileOutputs]) {
  Lanes sums[kRows][kHostTileOutputs];
  set_to_zero(sums);
  if constexpr (!std::is_same_v<W, Fp8E4M3>) {
    add_dot_products(tile, 0, tile.num_columns, sums);
  } else {
    for (int begin = 0; begin < tile.num_columns; begin += kFp8Block) {
      Lanes block_sums[kRows][kHostTileOutputs];
      set_to_zero(block_sums);
      add_dot_products(tile, begin, std::min(begin + kFp8Block, tile.num_columns), block_sums);
      for (int n = 0; n < kHostTileOutputs; ++n) {
        const Lanes scale = broadcast(tile.scale_inv_N[n][begin / kFp8Block]);
        for (int m = 0; m < kRows; ++m) sums[m][n] = fused_multiply_add(block_sums[m][n], scale, sums[m][n]);
      }
    }
  }
  for (int m = 0; m < kRows; ++m) {
    for (int n = 0; n < kHostTileOutputs; ++n) out[m][n] = sum(sums[m][n]);
  }
}

/// One matrix w_NK with its scales, and the x and y that all groups share.
template <class T, class W, class Out>
struct GemmSlice {
  const T* x_RK;
  const W* w_NK;
  const float* scale_inv;
  Out* y_RN;
  int num_columns;
  int num_outputs;
  int outputs_per_part;
  int scales_per_row;
};

/// y[row .. row + kRows)[output .. output + kHostTileOutputs). Outputs beyond the last are computed from the last
/// weight row again and dropped, which costs less than a second kind of tile.
template <int kRows, class T, class W, class Out>
void multiply_tile_rows(const GemmSlice<T, W, Out>& slice, int row, int output) {
  TileOperands<T, W> tile;
  tile.num_columns = slice.num_columns;
  tile.x_MK = slice.x_RK + std::int64_t(row) * slice.num_columns;
  for (int n = 0; n < kHostTileOutputs; ++n) {
    const int w_row = std::min(output + n, slice.num_outputs - 1);
    const std::int64_t scale_row = fp8_scale_row(w_row, slice.outputs_per_part);
    tile.w_NK[n] = slice.w_NK + std::int64_t(w_row) * slice.num_columns;
    tile.scale_inv_N[n] = slice.scale_inv + scale_row * slice.scales_per_row;
  }
  float out[kRows][kHostTileOutputs];
  multiply_tile<kRows>(tile, out);
  const int num_stored = std::min(kHostTileOutputs, slice.num_outputs - output);
  for (int m = 0; m < kRows; ++m) {
    Out* y_N = slice.y_RN + std::int64_t(row + m) * slice.num_outputs + output;
    for (int n = 0; n < num_stored; ++n) y_N[n] = Out(out[m][n]);
  }
}

/// y[begin .. end)[output .. output + kTaskOutputs): the weights come from memory once for each block of rows.
template <class T, class W, class Out>
void multiply_task(const GemmSlice<T, W, Out>& slice, int begin, int end, int output, int rows_per_block) {
  const int output_end = std::min(output + kTaskOutputs, slice.num_outputs);
  for (int block = begin; block < end; block += rows_per_block) {
    const int block_end = std::min(block + rows_per_block, end);
    for (int n = output; n < output_end; n += kHostTileOutputs) {
      int row = block;
      for (; row + kHostTileRows <= block_end; row += kHostTileRows) multiply_tile_rows<kHostTileRows>(slice, row, n);
      for (; row + 2 <= block_end; row += 2) multiply_tile_rows<2>(slice, row, n);
      if (row < block_end) multiply_tile_rows<1>(slice, row, n);
    }
  }
}

}  // namespace

/// One task is (group, kTaskOutputs outputs); a group is an expert's rows, or without offsets a block of rows.
template <class T, class W, class Out>
void multiply_groups(const ExecSpace& exec, View2D<const T> x_RK, const Weight& weight, View1D<const int> offset_E1,
                     View2D<Out> y_RN) {
  const View3D<const W> w_ENK = weight.values<W>();
  const View3D<const float> scale_inv = weight.scale_inv();
  const int num_rows = x_RK.extent_int(0), num_columns = x_RK.extent_int(1), num_outputs = y_RN.extent_int(1);
  const int outputs_per_part = num_outputs / weight.num_row_parts();
  const bool is_grouped = offset_E1.extent(0) > 0;
  const std::int64_t row_bytes = std::max<std::int64_t>(1, num_columns * std::int64_t(sizeof(T)));
  const int rows_per_block =
      kHostTileRows * int(std::max<std::int64_t>(1, kTaskActivationBytes / row_bytes / kHostTileRows));
  const int num_groups = is_grouped ? w_ENK.extent_int(0) : (num_rows + rows_per_block - 1) / rows_per_block;
  const int tasks_per_group = (num_outputs + kTaskOutputs - 1) / kTaskOutputs;
  using Policy = Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>, Kokkos::Schedule<Kokkos::Dynamic>>;
  const Policy policy(exec, 0, std::int64_t(num_groups) * tasks_per_group);
  Kokkos::parallel_for(
      is_grouped ? "m2::grouped_gemm" : "m2::gemm", policy, KOKKOS_LAMBDA(std::int64_t task) {
        const int group = int(task / tasks_per_group), output = int(task % tasks_per_group) * kTaskOutputs;
        const int e = is_grouped ? group : 0;
        const int begin = is_grouped ? offset_E1(group) : group * rows_per_block;
        const int end = is_grouped ? offset_E1(group + 1) : std::min(begin + rows_per_block, num_rows);
        const GemmSlice<T, W, Out> slice{.x_RK = x_RK.data(),
                                         .w_NK = w_ENK.data() + std::int64_t(e) * num_outputs * num_columns,
                                         .scale_inv = scale_inv.data() + e * scale_inv.extent(1) * scale_inv.extent(2),
                                         .y_RN = y_RN.data(),
                                         .num_columns = num_columns,
                                         .num_outputs = num_outputs,
                                         .outputs_per_part = outputs_per_part,
                                         .scales_per_row = scale_inv.extent_int(2)};
        multiply_task(slice, begin, end, output, rows_per_block);
      });
}

#define M2_INSTANTIATE_MULTIPLY_GROUPS(T, W, Out)                                                               \
  template void multiply_groups<T, W, Out>(const ExecSpace&, View2D<const T>, const Weight&, View1D<const int>, \
                                           View2D<Out>)
M2_FOR_GEMM_AND_WEIGHT_TYPES(M2_INSTANTIATE_MULTIPLY_GROUPS);
#undef M2_INSTANTIATE_MULTIPLY_GROUPS

}  // namespace m2
