// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <type_traits>

#include "kernels/gemm/gemm_backward_variants.hpp"
#include "kernels/gemm/outer_products.hpp"
#include "kernels/gemm/panel_tasks.hpp"

namespace m2 {
namespace {

using Tasks = Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>, Kokkos::Schedule<Kokkos::Dynamic>>;

int count_blocks(int count, int block) { return (count + block - 1) / block; }

/// Rows of a weight in float32, wherever and however they lie.
template <class W>
class WeightRows {
 public:
  explicit WeightRows(const Weight& weight)
      : values_(reinterpret_cast<const W*>(weight.data())),
        scale_inv_(weight.scale_inv()),
        num_rows_(weight.num_rows()),
        num_columns_(weight.num_columns()),
        rows_per_part_(std::max(1, weight.num_rows() / weight.num_row_parts())),
        in_panels_(weight.layout() == WeightLayout::panels) {}

  int num_rows() const { return num_rows_; }
  int num_columns() const { return num_columns_; }

  /// Rows [begin, begin + count) of matrix e, columns [k, k + num_columns), scaled, into memory.row. `begin` is a
  /// multiple of kProductChain and k one of kProductColumns.
  void expand(int e, int begin, int count, int k, int num_columns, OuterProductMemory& memory) const {
    if (in_panels_) return expand_panels(e, begin, count, k, num_columns, memory);
    const W* from = values_ + (std::int64_t(e) * num_rows_ + begin) * num_columns_ + k;
    for (int i = 0; i < count; ++i, from += num_columns_)
      expand_into_stripes(from, num_columns, scale(e, begin + i, k), i, memory);
  }

 private:
  /// Some columns of a panel are a panel themselves.
  void expand_panels(int e, int begin, int count, int k, int num_columns, OuterProductMemory& memory) const {
    static_assert(kProductChain % kPanelRows == 0 && kProductColumns % 2 == 0);
    for (int i = 0; i < count; i += kPanelRows) {
      alignas(64) W rows[kPanelRows * kProductColumns];
      const W* panel = values_ + (std::int64_t(e) * num_rows_ + begin + i) * num_columns_ + k * kPanelRows;
      unpack_panel(kDTypeOf<W>, num_columns, reinterpret_cast<const std::byte*>(panel), 0, kPanelRows,
                   reinterpret_cast<std::byte*>(rows));
      for (int r = 0; r < kPanelRows; ++r)
        expand_into_stripes(rows + r * num_columns, num_columns, scale(e, begin + i + r, k), i + r, memory);
    }
  }

  float scale(int e, int row, int k) const {
    if constexpr (!std::is_same_v<W, Fp8E4M3>) return 1.0f;
    return scale_inv_(e, fp8_scale_row(row, rows_per_part_), k / kFp8Block);
  }

  const W* values_;
  View3D<const float> scale_inv_;
  int num_rows_, num_columns_, rows_per_part_;
  bool in_panels_;
};

void set_sums_to_zero(int num_rows, OuterProductMemory& memory) {
  std::fill_n(memory.sum[0], std::int64_t(num_rows) * kProductColumns, 0.0f);
}

/// dx[begin .. begin + num_rows)[k .. k + num_columns).
template <class DY, class W, class DX>
void multiply_block(View2D<const DY> dy_RN, const WeightRows<W>& weight, int e, int begin, int num_rows, int k,
                    View2D<DX> dx_RK) {
  OuterProductMemory memory;
  const int chain = weight.num_rows(), num_columns = std::min(kProductColumns, weight.num_columns() - k);
  set_sums_to_zero(num_rows, memory);
  for (int n = 0; n < chain; n += kProductChain) {
    const int count = std::min(kProductChain, chain - n);
    weight.expand(e, n, count, k, num_columns, memory);
    for (int m = 0; m < num_rows; ++m)
      expand_row(&dy_RN(begin + m, n), count, memory.factor + m * FactorsByRow::kRowStride);
    add_outer_products<FactorsByRow>(num_rows, count, num_columns, memory);
  }
  for (int m = 0; m < num_rows; ++m) {
    DX* to = &dx_RK(begin + m, k);
    for (int j = 0; j < num_columns; ++j) to[j] = DX(memory.sum[m][j]);
  }
}

/// dw[e][n .. n + kOuterProductRows)[k .. k + kProductColumns) += the products of rows [begin, end).
template <class DY, class X>
void add_gradient_block(View2D<const DY> dy_RN, View2D<const X> x_RK, int begin, int end, int e, int n, int k,
                        View3D<float> dw_ENK) {
  OuterProductMemory memory;
  const int num_rows = std::min(kOuterProductRows, dw_ENK.extent_int(1) - n);
  const int num_columns = std::min(kProductColumns, dw_ENK.extent_int(2) - k);
  set_sums_to_zero(num_rows, memory);
  for (int r = begin; r < end; r += kProductChain) {
    const int count = std::min(kProductChain, end - r);
    for (int i = 0; i < count; ++i) {
      expand_row(&dy_RN(r + i, n), num_rows, memory.factor + i * FactorsByStep::kStep);
      expand_into_stripes(&x_RK(r + i, k), num_columns, 1.0f, i, memory);
    }
    add_outer_products<FactorsByStep>(num_rows, count, num_columns, memory);
  }
  for (int m = 0; m < num_rows; ++m) {
    float* to = &dw_ENK(e, n + m, k);
    for (int j = 0; j < num_columns; ++j) to[j] += memory.sum[m][j];
  }
}

}  // namespace

/// One task is (the rows of a group, kProductColumns columns).
template <class DY, class W, class DX>
void multiply_by_weight(const ExecSpace& exec, View2D<const DY> dy_RN, const Weight& weight,
                        View1D<const int> offset_E1, View2D<DX> dx_RK) {
  const WeightRows<W> rows(weight);
  const RowGroups groups(offset_E1, dy_RN.extent_int(0));
  const int tasks_per_group = count_blocks(weight.num_columns(), kProductColumns);
  Kokkos::parallel_for("m2::gemm_backward_input",
                       Tasks(exec, 0, std::int64_t(groups.size()) * tasks_per_group, Kokkos::ChunkSize(1)),
                       [=](std::int64_t task) {
                         const auto [e, begin, end] = groups[int(task / tasks_per_group)];
                         const int k = int(task % tasks_per_group) * kProductColumns;
                         for (int row = begin; row < end; row += kOuterProductRows)
                           multiply_block(dy_RN, rows, e, row, std::min(kOuterProductRows, end - row), k, dx_RK);
                       });
}

/// One task is (group, kOuterProductRows rows of the gradient, kProductColumns of its columns).
template <class DY, class X>
void add_weight_gradient(const ExecSpace& exec, View2D<const DY> dy_RN, View2D<const X> x_RK,
                         View1D<const int> offset_E1, View3D<float> dw_ENK) {
  const int row_blocks = count_blocks(dw_ENK.extent_int(1), kOuterProductRows);
  const int column_blocks = count_blocks(dw_ENK.extent_int(2), kProductColumns);
  const std::int64_t tasks_per_group = std::int64_t(row_blocks) * column_blocks;
  const bool is_grouped = offset_E1.extent(0) > 0;
  Kokkos::parallel_for("m2::gemm_backward_weight",
                       Tasks(exec, 0, dw_ENK.extent_int(0) * tasks_per_group, Kokkos::ChunkSize(1)),
                       [=](std::int64_t task) {
                         const int e = int(task / tasks_per_group), block = int(task % tasks_per_group);
                         const int begin = is_grouped ? offset_E1(e) : 0;
                         const int end = is_grouped ? offset_E1(e + 1) : dy_RN.extent_int(0);
                         if (begin == end) return;
                         add_gradient_block(dy_RN, x_RK, begin, end, e, block / column_blocks * kOuterProductRows,
                                            block % column_blocks * kProductColumns, dw_ENK);
                       });
}

M2_FOR_GEMM_BACKWARD_TYPES(M2_INSTANTIATE_GEMM_BACKWARD);

}  // namespace m2
