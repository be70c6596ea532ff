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
//                    Fp8Panels says
// A kernel that multiplies by a panel reads memory in one ascending stream, and each of its lanes sums one output.

inline constexpr int kPanelRows = 64;

/// Where row `row` < kPanelRows stands among the pairs of a panel in FP8.
constexpr int fp8_panel_place(int row) { return row / 32 * 32 + row % 16 / 4 * 8 + row % 32 / 16 * 4 + row % 4; }

/// How the bits of a pair (its first column in the lower byte) lie in an FP8 panel; each kernel reads one form.
enum class Fp8Panels : std::uint8_t {
  bytes,  ///< as they are: AVX-512 looks them up
  /// So that few instructions of AVX2 make floats of them. Let spread(b) move the bits of a byte to where a bfloat16
  /// has its sign, the lower end of its exponent and the upper of its fraction (0x87f0). 16 bits of the panel, e, hold
  /// the first column's value as e & 0x87f0, and those that begin a byte earlier, x, the second's as (x ^ x << 4) &
  /// 0x87f0; in front of a panel's first byte stands its last one. Every bit is used once.
  woven
};

/// What panel_kernel() reads.
Fp8Panels fp8_panels();

/// Whether matrices of this shape can lie in panels, and this processor multiplies by them: bfloat16 or float8_e4m3fn
/// in memory that hosts reach, parts of a multiple of kPanelRows rows, an even number of columns, AVX2.
bool panels_fit(DType dtype, int num_rows, int num_columns, int num_row_parts);

/// Bytes of a panel, which are those of its rows.
std::int64_t panel_bytes(DType dtype, int num_columns);

/// Makes a panel of kPanelRows rows. The two may not overlap. Throws Error for a NaN in FP8: kernels expand by a way
/// that knows numbers only, and a checkpoint with NaN is damaged.
void pack_panel(DType dtype, int num_columns, const std::byte* rows, std::byte* panel, Fp8Panels form = fp8_panels());
/// Rows [begin, end) of a panel, as they were.
void unpack_panel(DType dtype, int num_columns, const std::byte* panel, int begin, int end, std::byte* rows,
                  Fp8Panels form = fp8_panels());

/// Lays `num_panels` x kPanelRows rows out as panels, or back, where they are. Waits for `exec`. Throws like
/// pack_panel(); then some of the values are in panels and the others are not.
void rearrange_panels(const ExecSpace& exec, DType dtype, int num_columns, std::int64_t num_panels, WeightLayout layout,
                      std::byte* values);

}  // namespace m2
