// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/views.hpp"
#include "core/workspace.hpp"
#include "kernels/moe/router.hpp"

namespace m2 {

/// What auxiliary_loss_backward works in, for T tokens and E experts.
struct AuxiliaryLossScratch {
  View2D<float> share_TE;     ///< score / sum of the token's scores
  View1D<float> total_T;      ///< that sum
  View1D<double> fraction_E;  ///< f
  View1D<double> product_E;   ///< f P

  AuxiliaryLossScratch(std::int64_t num_tokens, int num_experts, Workspace& workspace)
      : share_TE(workspace.take<float>(num_tokens, num_experts)),
        total_T(workspace.take<float>(num_tokens)),
        fraction_E(workspace.take<double>(num_experts)),
        product_E(workspace.take<double>(num_experts)) {}
};

/// The load-balancing loss of NeMo Automodel, scale * sum over e of f_e P_e: f_e is the share of the T K slots that
/// chose expert e, times E, and carries no gradient; P_e is the mean over the tokens of score_e / sum of the token's
/// scores. Adds the gradient of the loss to dlogits_TE, and sum f P (without the scale) to loss_1. `offset_E1` is the
/// dispatch plan's, from which the load is read. Scores are those of route(), unrounded. Sums over tokens run in
/// double, tokens ascending. Throws Error if the shapes disagree.
void auxiliary_loss_backward(const ExecSpace& exec, View2D<const float> logits_TE, ScoringFunc score_func,
                             View1D<const int> offset_E1, float scale, const AuxiliaryLossScratch& scratch,
                             View2D<float> dlogits_TE, View1D<double> loss_1);

}  // namespace m2
