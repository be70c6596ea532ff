// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <type_traits>

#include "kernels/common/math.hpp"
#include "kernels/common/rows.hpp"
#include "kernels/gemm/gemm_cost.hpp"
#include "kernels/gemm/gemm_providers.hpp"
#include "kernels/gemm/grouped_swiglu.hpp"
#include "kernels/panels/panel_gemm.hpp"

namespace m2 {
namespace {

#ifndef KOKKOS_ENABLE_CUDA

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
PanelProduct begin_product(View2D<const Bf16> x_RK, int begin, int end, std::int64_t y_row_stride, bool y_is_float) {
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

/// out = silu(gate) * up * weight for the columns of one panel; `weight_M` may be null.
void store_swiglu(const float* gate_MN, const float* up_MN, const float* weight_M, int num_rows, Bf16* out_MN,
                  std::int64_t out_stride) {
  for (int m = 0; m < num_rows; ++m) {
    const float* const gate = gate_MN + m * kPanelRows;
    const float* const up = up_MN + m * kPanelRows;
    const float weight = weight_M ? weight_M[m] : 1.0f;
    float activated[kPanelRows];
    for (int n = 0; n < kPanelRows; ++n) activated[n] = silu(gate[n]) * up[n] * weight;
    for (int n = 0; n < kPanelRows; ++n) out_MN[m * out_stride + n] = Bf16(activated[n]);
  }
}

#endif

}  // namespace

template <class Out>
void gemm_panels(const ExecSpace& exec, View2D<const Bf16> x_RK, const Weight& w_ENK, View1D<const int> offset_E1,
                 View2D<Out> y_RN) {
#ifndef KOKKOS_ENABLE_CUDA
  const Panels panels(w_ENK);
  const PanelTasks tasks(exec, RowGroups(offset_E1, x_RK.extent_int(0)), panels.per_matrix(), kMaxPanels);
  const MultiplyPanels multiply = panel_kernel();
  Kokkos::parallel_for(offset_E1.extent(0) > 0 ? "m2::grouped_gemm" : "m2::gemm", tasks.policy(exec),
                       [=](std::int64_t i) {
                         const auto [group, first, last] = tasks[i];
                         for (int begin = group.begin; begin < group.end; begin += kPanelMaxRows) {
                           PanelProduct product = begin_product(x_RK, begin, std::min(begin + kPanelMaxRows, group.end),
                                                                y_RN.extent_int(1), std::is_same_v<Out, float>);
                           for (int panel = first; panel < last; ++panel)
                             product.add(panels.operand(group.matrix, panel, &y_RN(begin, panel * kPanelRows)));
                           multiply(product);
                         }
                       });
#endif
}

template void gemm_panels(const ExecSpace&, View2D<const Bf16>, const Weight&, View1D<const int>, View2D<Bf16>);
template void gemm_panels(const ExecSpace&, View2D<const Bf16>, const Weight&, View1D<const int>, View2D<float>);

void grouped_swiglu(const ExecSpace& exec, View2D<const Bf16> x_RD, const Weight& gate_up_L2FD,
                    View1D<const int> offset_L1, View1D<const float> row_weight_R, View2D<Bf16> out_RF) {
  M2_REQUIRE(gate_up_L2FD.layout() == WeightLayout::panels && gate_up_L2FD.num_row_parts() == 2,
             "grouped_swiglu: a weight of two parts in panels is expected; see grouped_gemm and swiglu for others");
  require_same("grouped_swiglu", "offsets", offset_L1.extent(0), "matrices and one", gate_up_L2FD.num_matrices() + 1);
  require_same("grouped_swiglu", "columns of x_RD", x_RD.extent(1), "columns of gate_up_L2FD",
               gate_up_L2FD.num_columns());
  require_same("grouped_swiglu", "rows of x_RD", x_RD.extent(0), "rows of out_RF", out_RF.extent(0));
  require_same("grouped_swiglu", "rows of gate_up_L2FD", gate_up_L2FD.num_rows(), "twice the columns of out_RF",
               2 * out_RF.extent(1));
  if (row_weight_R.extent(0) > 0) {
    require_same("grouped_swiglu", "elements of row_weight_R", row_weight_R.extent(0), "rows of out_RF",
                 out_RF.extent(0));
  }
  const LoggedOperation logged(exec, "grouped_swiglu",
                               [&] { return gemm_cost(x_RD, gate_up_L2FD, count_touched(exec, offset_L1), out_RF); });
#ifndef KOKKOS_ENABLE_CUDA
  const Panels panels(gate_up_L2FD);
  const int num_panels = panels.per_matrix() / 2;
  const PanelTasks tasks(exec, RowGroups(offset_L1, x_RD.extent_int(0)), num_panels, kMaxPanels / 2);
  const MultiplyPanels multiply = panel_kernel();
  const float* const weight_R = row_weight_R.extent(0) > 0 ? row_weight_R.data() : nullptr;
  Kokkos::parallel_for("m2::grouped_swiglu", tasks.policy(exec), [=](std::int64_t i) {
    alignas(64) float gate_up_P2MN[kMaxPanels / 2][2][kPanelMaxRows * kPanelRows];
    const auto [group, first, last] = tasks[i];
    for (int begin = group.begin; begin < group.end; begin += kPanelMaxRows) {
      const int end = std::min(begin + kPanelMaxRows, group.end);
      PanelProduct product = begin_product(x_RD, begin, end, kPanelRows, true);
      for (int panel = first; panel < last; ++panel) {
        for (int part = 0; part < 2; ++part)
          product.add(panels.operand(group.matrix, part * num_panels + panel, gate_up_P2MN[panel - first][part]));
      }
      multiply(product);
      for (int panel = first; panel < last; ++panel) {
        const auto& gate_up_2MN = gate_up_P2MN[panel - first];
        store_swiglu(gate_up_2MN[0], gate_up_2MN[1], weight_R ? weight_R + begin : nullptr, end - begin,
                     &out_RF(begin, panel * kPanelRows), out_RF.extent_int(1));
      }
    }
  });
#endif
}

}  // namespace m2
