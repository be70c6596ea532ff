// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>

#include "core/views.hpp"
#include "kernels/panels/panel_layout.hpp"

namespace m2 {

/// A stack of (out, in) matrices in the dtype they are stored in: float32, bfloat16, or float8_e4m3fn with one float32
/// scale for each kFp8Block x kFp8Block block (ceil division: the last block of a row or column may be ragged), where
/// weight = float(value) * scale_inv. Copies share the memory, like Views.
class Weight {
 public:
  /// No matrices.
  Weight() = default;

  /// Uninitialised memory for `num_matrices` matrices of `num_rows` x `num_columns`, labelled `label` and
  /// `label`_scale_inv. `num_row_parts` matrices of equal height may lie on top of one another in each (the experts'
  /// gate over up): FP8 blocks never reach across parts. `layout`: how it will be filled. Throws Error for another
  /// dtype, negative sizes, uneven parts, panels where they do not fit.
  static Weight allocate(const ExecSpace& exec, DType dtype, int num_matrices, int num_rows, int num_columns,
                         const std::string& label, int num_row_parts = 1, WeightLayout layout = WeightLayout::rows);

  /// dtype and sizes without memory, to plan with before allocating: neither values nor scales may be used.
  static Weight without_memory(DType dtype, int num_matrices, int num_rows, int num_columns);

  /// Rows and columns of one matrix's block scales: num_row_parts * ceil(part rows / kFp8Block), ceil(columns /
  /// kFp8Block). Which of the rows belongs to which row of the matrix is in fp8_scale_row.
  static std::int64_t num_scale_rows(std::int64_t num_rows, int num_row_parts);
  static std::int64_t num_scale_columns(std::int64_t num_columns);
  int num_row_parts() const;

  DType dtype() const;
  int num_matrices() const;
  int num_rows() const;
  int num_columns() const;

  WeightLayout layout() const { return *layout_; }
  /// Rearranges the values where they are, for this and every copy that shares the memory; waits for `exec`. Does
  /// nothing when they lie so already. Throws Error for panels of a weight that panels_fit() refuses, of FP8 with NaN,
  /// and for a part of a stack.
  void set_layout(const ExecSpace& exec, WeightLayout layout);

  /// (E, N, K) of W in {float, Bf16, Fp8E4M3}. Throws Error when another dtype is held, or panels.
  template <class W>
  View3D<W> values() const;

  /// (E, num_scale_rows, num_scale_columns); empty unless the dtype is float8_e4m3fn.
  View3D<float> scale_inv() const { return scale_inv_; }

  /// Matrix i alone: a view of this weight's memory, which must outlive it, and of how its values lie.
  Weight matrix(int i) const;

  /// The values in the order of layout(), without the scales: `bytes()` bytes in MemorySpace.
  std::byte* data() const;
  std::int64_t bytes() const;

 private:
  std::variant<View3D<float>, View3D<Bf16>, View3D<Fp8E4M3>> values_;
  View3D<float> scale_inv_;
  int num_row_parts_ = 1;
  bool is_part_ = false;  // of a stack that layout_ describes as a whole
  std::shared_ptr<WeightLayout> layout_ = std::make_shared<WeightLayout>(WeightLayout::rows);
};

/// The row of block scales of row n, where parts are `rows_per_part` rows high: each part begins a new row of scales.
KOKKOS_INLINE_FUNCTION int fp8_scale_row(int n, int rows_per_part) {
  const int scale_rows_per_part = (rows_per_part + kFp8Block - 1) / kFp8Block;
  return n / rows_per_part * scale_rows_per_part + n % rows_per_part / kFp8Block;
}

extern template View3D<float> Weight::values<float>() const;
extern template View3D<Bf16> Weight::values<Bf16>() const;
extern template View3D<Fp8E4M3> Weight::values<Fp8E4M3>() const;

}  // namespace m2
