// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/views.hpp"

namespace m2 {

/// How the values of a Weight lie in its memory; scales stay where they are.
enum class WeightLayout : std::uint8_t {
  rows,   ///< row after row, as in a checkpoint
  panels  ///< kPanelRows rows interleaved, for the vector units of hosts: only gemm and grouped_gemm read them
};

// Panels: kPanelRows consecutive rows of a matrix in the bytes they took as rows, pair of columns after pair of
// columns. One pair of columns of a panel is
//   bfloat16         row 0's pair, row 1's pair, ... row 63's pair: four AVX-512 registers, as vdpbf16ps and oneDNN's
//                    BA16a64b2a want them
//   float8_e4m3fn    the same in an order of rows from which two byte interleavings make those four registers, as
//                    fp8_panel_place() says; of a pair the first column is the lower byte
// A kernel that multiplies by a panel reads memory in one ascending stream, and each of its lanes sums one output.

inline constexpr int kPanelRows = 64;

/// Panels are packed and read by hosts, from memory that they reach.
inline constexpr bool kHostReachesWeights = Kokkos::SpaceAccessibility<HostSpace, MemorySpace>::accessible;

/// Where row `row` < kPanelRows stands among the pairs of a panel in FP8.
constexpr int fp8_panel_place(int row) { return row / 32 * 32 + row % 16 / 4 * 8 + row % 32 / 16 * 4 + row % 4; }

/// Index of element (row, column) of a matrix in FP8 panels of `num_columns` columns.
constexpr std::int64_t fp8_panel_index(int row, int column, int num_columns) {
  const std::int64_t panel = std::int64_t(row / kPanelRows) * kPanelRows * num_columns;
  return panel + (std::int64_t(column / 2) * kPanelRows + fp8_panel_place(row % kPanelRows)) * 2 + column % 2;
}

/// Whether matrices of this shape can lie in panels, and this processor multiplies by them: bfloat16 or float8_e4m3fn
/// in memory that hosts reach, parts of a multiple of kPanelRows rows, an even number of columns, AVX2.
bool panels_fit(DType dtype, int num_rows, int num_columns, int num_row_parts);

/// Bytes of a panel, which are those of its rows.
std::int64_t panel_bytes(DType dtype, int num_columns);

/// Makes a panel of kPanelRows rows. The two may not overlap. Throws Error for a NaN in FP8: kernels expand by a way
/// that knows numbers only, and a checkpoint with NaN is damaged.
void pack_panel(DType dtype, int num_columns, const std::byte* rows, std::byte* panel);
/// Rows [begin, end) of a panel, as they were.
void unpack_panel(DType dtype, int num_columns, const std::byte* panel, int begin, int end, std::byte* rows);

/// Lays `num_panels` x kPanelRows rows out as panels, or back, where they are. Waits for `exec`. Throws like
/// pack_panel(); then some of the values are in panels and the others are not.
void rearrange_panels(const ExecSpace& exec, DType dtype, int num_columns, std::int64_t num_panels, WeightLayout layout,
                      std::byte* values);

}  // namespace m2
