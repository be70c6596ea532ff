// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "config/minimax_m2_config.hpp"
#include "core/views.hpp"
#include "core/workspace.hpp"

namespace m2 {

/// Rows sorted by expert, R at most: what GroupedExperts reads and writes.
template <class T>
struct ExpertRows {
  View1D<int> offset_L1;  ///< where each expert's rows begin
  View1D<float> weight_R;
  View2D<T> x_RD, gate_up_R2F, activated_RF, y_RD;

  ExpertRows(const MiniMaxM2Config& config, std::int64_t num_rows, int num_experts, Workspace& workspace)
      : offset_L1(workspace.take<int>(num_experts + 1)),
        weight_R(workspace.take<float>(num_rows)),
        x_RD(workspace.take<T>(num_rows, config.hidden_size)),
        gate_up_R2F(workspace.take<T>(num_rows, 2 * std::int64_t(config.intermediate_size))),
        activated_RF(workspace.take<T>(num_rows, config.intermediate_size)),
        y_RD(workspace.take<T>(num_rows, config.hidden_size)) {}

  /// The same memory for fewer rows.
  ExpertRows first(std::int64_t num_rows) const {
    ExpertRows part = *this;
    part.weight_R = slice(weight_R, 0, num_rows);
    part.x_RD = slice(x_RD, 0, num_rows);
    part.gate_up_R2F = slice(gate_up_R2F, 0, num_rows);
    part.activated_RF = slice(activated_RF, 0, num_rows);
    part.y_RD = slice(y_RD, 0, num_rows);
    return part;
  }
};

}  // namespace m2
