// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/moe_config.hpp"
#include "model/activations.hpp"

namespace m2 {

/// Brings each token to its experts and their answers back, where all experts are in this process.
class TokenDispatcher {
 public:
  explicit TokenDispatcher(const MoEConfig& moe) : moe_(moe) {}

  /// From expert_TK and weight_TK: sorts the routed rows by expert (offset_E1, row_TK, token_R, weight_R) and copies
  /// the tokens into that order (x_RD).
  template <class T>
  void dispatch(const ExecSpace& exec, View2D<const T> x_TD, const MoEActivations<T>& buffers) const;

  /// out[t] = sum of the answers y_RD of token t's experts, times their weights, in float and in a fixed order.
  template <class T>
  void combine(const ExecSpace& exec, const MoEActivations<T>& buffers, View2D<T> out_TD) const;

 private:
  MoEConfig moe_;
};

}  // namespace m2
