// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/views.hpp"
#include "kernels/panels/panel_gemm.hpp"
#include "kernels/weights/weight.hpp"

namespace m2 {

// How a multiplication by panels is divided among threads: what gemm_panels.cpp and grouped_swiglu.cpp share.

/// Rows that are multiplied by one matrix.
struct RowGroup {
  int matrix, begin, end;
};

/// The groups of rows that have any: those of an expert, or blocks of kPanelMaxRows where all belong to matrix 0.
/// Offsets are read on the host, where they were written: kernels on hosts have ended when the next one is called.
class RowGroups {
 public:
  RowGroups(View1D<const int> offset_E1, int num_rows)
      : offset_E1_(offset_E1), num_rows_(num_rows), num_matrices_(std::max(offset_E1.extent_int(0) - 1, 0)) {
    for (int e = 0; e < num_matrices_; ++e) size_ += has_rows(e);
    if (!is_grouped()) size_ = (num_rows + kPanelMaxRows - 1) / kPanelMaxRows;
  }

  int size() const { return size_; }

  /// The i-th: a search through some hundred offsets takes a thousandth of the work that follows.
  RowGroup operator[](int i) const {
    if (!is_grouped()) return {0, i * kPanelMaxRows, std::min((i + 1) * kPanelMaxRows, num_rows_)};
    int e = 0;
    while (!has_rows(e) || i-- > 0) ++e;
    return {e, offset_E1_(e), offset_E1_(e + 1)};
  }

 private:
  bool is_grouped() const { return offset_E1_.extent(0) > 0; }
  bool has_rows(int e) const { return offset_E1_(e + 1) > offset_E1_(e); }

  View1D<const int> offset_E1_;
  int num_rows_, num_matrices_, size_ = 0;
};

/// Where the panels of a stack of matrices and their scales lie.
class Panels {
 public:
  explicit Panels(const Weight& weight)
      : values_(weight.data()),
        scale_inv_(weight.scale_inv()),
        panel_bytes_(panel_bytes(weight.dtype(), weight.num_columns())),
        per_matrix_(weight.num_rows() / kPanelRows),
        rows_per_part_(weight.num_rows() / weight.num_row_parts()) {}

  int per_matrix() const { return per_matrix_; }

  PanelOperand operand(int matrix, int panel, void* y_MN) const {
    const int scale_row = fp8_scale_row(panel * kPanelRows, rows_per_part_);
    return {values_ + (std::int64_t(matrix) * per_matrix_ + panel) * panel_bytes_,
            scale_inv_.extent(0) > 0 ? &scale_inv_(matrix, scale_row, 0) : nullptr, y_MN};
  }

 private:
  const std::byte* values_;
  View3D<const float> scale_inv_;
  std::int64_t panel_bytes_;
  int per_matrix_, rows_per_part_;
};

/// Of rows [begin, end) of x; the panels are still to be added.
inline PanelProduct begin_product(View2D<const Bf16> x_RK, int begin, int end, std::int64_t y_row_stride,
                                  bool y_is_float) {
  PanelProduct product{};
  product.x_MK = &x_RK(begin, 0);
  product.num_rows = end - begin;
  product.num_columns = x_RK.extent_int(1);
  product.y_row_stride = y_row_stride;
  product.y_is_float = y_is_float;
  return product;
}

/// Neighbouring panels [first, last) that a thread multiplies by the rows of one group.
struct PanelTask {
  RowGroup group;
  int first, last;
};

/// All groups' rows by each of their `per_matrix` panels, at most `most` neighbours at a time: they share the rows, and
/// the weights of each have been fetched when the one before it is done. Threads take tasks as they become free; where
/// panels are few, tasks are smaller.
class PanelTasks {
 public:
  PanelTasks(const ExecSpace& exec, const RowGroups& groups, int per_matrix, int most)
      : groups_(groups), per_matrix_(per_matrix) {
    constexpr int kTurns = 4;  // of each thread at least: they are not equally fast
    const std::int64_t num_panels = std::int64_t(groups.size()) * per_matrix;
    size_ = int(std::clamp<std::int64_t>(num_panels / (kTurns * exec.concurrency()), 1, most));
    per_group_ = (per_matrix + size_ - 1) / size_;
  }

  auto policy(const ExecSpace& exec) const {
    using Policy = Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>, Kokkos::Schedule<Kokkos::Dynamic>>;
    return Policy(exec, 0, std::int64_t(groups_.size()) * per_group_, Kokkos::ChunkSize(1));
  }

  PanelTask operator[](std::int64_t task) const {
    const int first = int(task % per_group_) * size_;
    return {groups_[int(task / per_group_)], first, std::min(first + size_, per_matrix_)};
  }

 private:
  RowGroups groups_;
  int per_matrix_, size_, per_group_;
};

}  // namespace m2
