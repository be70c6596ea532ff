// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/views.hpp"
#include "kernels/weights/weight.hpp"

namespace m2 {

/// Rows and columns of one matrix of an FP8 weight, and of its block scales.
struct Fp8Grid {
  int num_rows, num_columns, rows_per_part, scale_rows_per_part, scale_rows, scale_columns;
};

/// Of a weight in FP8.
inline Fp8Grid fp8_grid(const Weight& weight) {
  const View3D<float> scale_inv = weight.scale_inv();
  const int scale_rows = scale_inv.extent_int(1);
  return {weight.num_rows(),
          weight.num_columns(),
          weight.num_rows() / weight.num_row_parts(),
          scale_rows / weight.num_row_parts(),
          scale_rows,
          scale_inv.extent_int(2)};
}

/// The part of a matrix that shares a scale.
struct Fp8GridBlock {
  int matrix, scale_row, scale_column, first_row, num_rows, first_column, num_columns;
};

/// Block `index` of a stack: blocks of a matrix row by row, matrix after matrix, as scale_inv() lies.
KOKKOS_INLINE_FUNCTION Fp8GridBlock fp8_grid_block(const Fp8Grid& grid, int index) {
  const int scale_row = index / grid.scale_columns % grid.scale_rows, scale_column = index % grid.scale_columns;
  const int part = scale_row / grid.scale_rows_per_part, row_in_part = scale_row % grid.scale_rows_per_part * kFp8Block;
  const int first_column = scale_column * kFp8Block;
  constexpr int kBlock = kFp8Block;  // Kokkos::min takes references, and a device has no namespace-scope constant
  return {.matrix = index / grid.scale_columns / grid.scale_rows,
          .scale_row = scale_row,
          .scale_column = scale_column,
          .first_row = part * grid.rows_per_part + row_in_part,
          .num_rows = Kokkos::min(kBlock, grid.rows_per_part - row_in_part),
          .first_column = first_column,
          .num_columns = Kokkos::min(kBlock, grid.num_columns - first_column)};
}

}  // namespace m2
