// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "config/model_config.hpp"
#include "core/views.hpp"
#include "core/workspace.hpp"
#include "kernels/gemm/gemm.hpp"

namespace m2 {

/// Rows sorted by expert, R at most: what GroupedExperts reads and writes.
template <class T>
struct ExpertRows {
  View1D<const int> offset_L1;  ///< where each expert's rows begin: part of the dispatch plan
  View1D<float> weight_R;
  View2D<T> x_RD, gate_up_R2F, activated_RF, y_RD;
  View1D<std::byte> gemm_workspace;
  View1D<T> lora_hidden;       ///< of the adapters
  bool keeps_gate_up = false;  ///< gate_up_R2F must hold the products afterwards, which may otherwise skip it

  ExpertRows(const ModelConfig& config, std::int64_t num_rows, Workspace& workspace)
      : weight_R(workspace.take<float>(num_rows)),
        x_RD(workspace.take<T>(num_rows, config.architecture.hidden_size)),
        gate_up_R2F(workspace.take<T>(num_rows, 2 * std::int64_t(config.architecture.intermediate_size))),
        activated_RF(workspace.take<T>(num_rows, config.architecture.intermediate_size)),
        y_RD(workspace.take<T>(num_rows, config.architecture.hidden_size)),
        gemm_workspace(workspace.take<std::byte>(gemm_bytes(config, num_rows))),
        lora_hidden(workspace.take<T>(num_rows * config.lora_rank)) {}

  /// The same memory for fewer rows, with `offsets` of the experts.
  ExpertRows first(std::int64_t num_rows, const View1D<const int>& offsets) const {
    ExpertRows part = *this;
    part.offset_L1 = offsets;
    part.weight_R = slice(weight_R, 0, num_rows);
    part.x_RD = slice(x_RD, 0, num_rows);
    part.gate_up_R2F = slice(gate_up_R2F, 0, num_rows);
    part.activated_RF = slice(activated_RF, 0, num_rows);
    part.y_RD = slice(y_RD, 0, num_rows);
    return part;
  }

 private:
  static std::int64_t gemm_bytes(const ModelConfig& config, std::int64_t num_rows) {
    const int hidden = config.architecture.hidden_size, inner = config.architecture.intermediate_size;
    const auto bytes = [&](int num_outputs, int num_columns) {
      return gemm_workspace_bytes(config.backend.experts, kDTypeOf<T>, kDTypeOf<T>, int(num_rows), num_outputs,
                                  num_columns);
    };
    return std::max(bytes(2 * inner, hidden), bytes(hidden, inner));
  }
};

}  // namespace m2
