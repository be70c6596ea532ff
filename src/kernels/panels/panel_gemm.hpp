// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "core/bf16.hpp"
#include "kernels/panels/panel_layout.hpp"

namespace m2 {

// Multiplication by panels (panel_layout.hpp), one function for each kind of vector unit, chosen when the program runs.
// Each output is one chain of sums over ascending pairs of columns: in bfloat16 over all of them, in FP8 over a block
// of 128 columns, whose sum is then multiplied by its scale and added. A row's bits do not depend on the rows beside
// it.

/// Columns multiplied at a time: of a panel in bfloat16 16 KB, half of a first-level cache.
inline constexpr int kPanelChunk = 128;
/// Most rows of one call: their sums (48 KB a panel) stay in the second-level cache.
inline constexpr int kPanelMaxRows = 192;
static_assert(kPanelChunk == kFp8Block);

/// Rows of a tile so that the last one, of what is left, is not much smaller: few sums wait for one another.
constexpr int even_tile(int num_rows, int most) {
  const int num_tiles = (num_rows + most - 1) / most;
  return (num_rows + num_tiles - 1) / num_tiles;
}

/// Most panels of one call: they share the rows in the form the kernel needs.
inline constexpr int kMaxPanels = 4;

/// One of the panels that are multiplied by the same rows.
struct PanelOperand {
  const void* panel;         ///< Bf16 or Fp8E4M3
  const float* scale_inv_C;  ///< FP8: of each kPanelChunk columns; otherwise nullptr
  void* y_MN;                ///< Bf16 or float, of row 0 and the panel's first row
};

/// y[m][n] = sum over k of x[m][k] w[n][k] for the kPanelRows rows n of each of `num_panels` panels of one dtype.
struct PanelProduct {
  const Bf16* x_MK;
  int num_rows;               ///< 1 to kPanelMaxRows
  int num_columns;            ///< even; rows of x follow one another
  std::int64_t y_row_stride;  ///< elements between rows of y
  bool y_is_float;
  int num_panels;  ///< 1 to kMaxPanels
  std::array<PanelOperand, kMaxPanels> panel_P;

  void add(const PanelOperand& operand) { panel_P[num_panels++] = operand; }
};

using MultiplyPanels = void (*)(const PanelProduct&);

/// The function for this processor: AVX-512 with bfloat16 instructions, AVX2 (with FMA and F16C), or nullptr where
/// neither is there. In the former subnormal numbers count as zero; in the latter FP8 weights never become any.
MultiplyPanels panel_kernel();
MultiplyPanels panel_kernel_avx512();  ///< nullptr on a processor without
MultiplyPanels panel_kernel_avx2();

/// "avx512_bf16", "avx2" or "portable" (no panels): what panel_kernel() chose.
const char* panel_kernel_name();

}  // namespace m2
