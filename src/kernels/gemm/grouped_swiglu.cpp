// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm/grouped_swiglu.hpp"

#include <algorithm>
#include <string_view>

#include "core/error.hpp"
#include "kernels/common/math.hpp"
#include "kernels/common/rows.hpp"
#include "kernels/gemm/gemm_cost.hpp"
#include "kernels/gemm/panel_tasks.hpp"

namespace m2 {
namespace {

/// sum += addend for the columns of one panel.
void add_panel(const Bf16* addend_MN, std::int64_t addend_stride, int num_rows, float* sum_MN) {
  for (int m = 0; m < num_rows; ++m) {
    for (int n = 0; n < kPanelRows; ++n) sum_MN[m * kPanelRows + n] += float(addend_MN[m * addend_stride + n]);
  }
}

/// The columns of one panel as they are.
void store_panel(const float* sum_MN, int num_rows, Bf16* out_MN, std::int64_t out_stride) {
  for (int m = 0; m < num_rows; ++m) {
    for (int n = 0; n < kPanelRows; ++n) out_MN[m * out_stride + n] = Bf16(sum_MN[m * kPanelRows + n]);
  }
}

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

void require_shapes(View2D<const Bf16> x_RD, const Weight& gate_up_L2FD, View1D<const int> offset_L1,
                    View1D<const float> row_weight_R, View2D<Bf16> out_RF, View2D<const Bf16> gate_up_R2F,
                    View2D<const Bf16> addend_R2F) {
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
  const auto require_products = [&](std::string_view rows, std::string_view columns, View2D<const Bf16> products_R2F) {
    if (products_R2F.extent(0) == 0) return;
    require_same("grouped_swiglu", rows, products_R2F.extent(0), "rows of out_RF", out_RF.extent(0));
    require_same("grouped_swiglu", columns, products_R2F.extent(1), "twice the columns of out_RF",
                 2 * out_RF.extent(1));
  };
  require_products("rows of gate_up_R2F", "columns of gate_up_R2F", gate_up_R2F);
  require_products("rows of addend_R2F", "columns of addend_R2F", addend_R2F);
}

}  // namespace

void grouped_swiglu(const ExecSpace& exec, View2D<const Bf16> x_RD, const Weight& gate_up_L2FD,
                    View1D<const int> offset_L1, View1D<const float> row_weight_R, View2D<Bf16> out_RF,
                    View2D<Bf16> gate_up_R2F, View2D<const Bf16> addend_R2F) {
  require_shapes(x_RD, gate_up_L2FD, offset_L1, row_weight_R, out_RF, gate_up_R2F, addend_R2F);
  const bool keeps_products = gate_up_R2F.extent(0) > 0, adds = addend_R2F.extent(0) > 0;
  const LoggedOperation logged(exec, "grouped_swiglu",
                               [&] { return gemm_cost(x_RD, gate_up_L2FD, count_touched(exec, offset_L1), out_RF); });
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
        auto& gate_up_2MN = gate_up_P2MN[panel - first];
        for (int part = 0; part < 2; ++part) {
          const int column = (part * num_panels + panel) * kPanelRows;
          if (adds) add_panel(&addend_R2F(begin, column), addend_R2F.extent_int(1), end - begin, gate_up_2MN[part]);
          if (!keeps_products) continue;
          store_panel(gate_up_2MN[part], end - begin, &gate_up_R2F(begin, column), gate_up_R2F.extent_int(1));
        }
        store_swiglu(gate_up_2MN[0], gate_up_2MN[1], weight_R ? weight_R + begin : nullptr, end - begin,
                     &out_RF(begin, panel * kPanelRows), out_RF.extent_int(1));
      }
    }
  });
}

}  // namespace m2
