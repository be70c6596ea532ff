// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/choices.hpp"
#include "core/views.hpp"

namespace m2 {

/// Limits of the router: experts per token, and experts.
inline constexpr int kMaxTopK = 64;
inline constexpr int kMaxExperts = 1024;

struct RouterOptions {
  ScoringFunc score_func = ScoringFunc::sigmoid;
  bool normalize = true;     ///< chosen weights are divided by their sum
  float route_scale = 1.0f;  ///< factor on the weights, after normalising
  bool round_to_bf16 =
      false;  ///< round logits, scores and weights to bfloat16, as NeMo does unless gate_precision is float32
};

/// The K experts of each token: those of largest score(logit) + selection_bias, in descending order, ties to the lowest
/// index (NaN ranks lowest). The weight is the score without the bias. An empty selection_bias is all zero.
/// Source: Hugging Face `MiniMaxM2TopKRouter`. Throws Error if the shapes disagree, K > E, or a limit is exceeded.
void route(const ExecSpace& exec, View2D<const float> logits_TE, View1D<const float> selection_bias_E,
           const RouterOptions& options, View2D<int> expert_TK, View2D<float> weight_TK);

/// dlogits, overwritten, from dweight, the gradient of route's weights; `logits` and `expert` are those of that call.
/// The chain runs through the scale, the division by the sum and the scores; the choice and selection_bias carry no
/// gradient. Sigmoid gives 0 to every expert that was not chosen, softmax has a gradient for all. Sums over the K
/// chosen experts ascend. Scores are rounded as route rounds them, and the rounding counts as the identity. Rows with
/// skip != 0 (tokens that don't count, such as padding) get 0; an empty skip is none. Throws Error if the shapes
/// disagree or a limit is exceeded.
void route_backward(const ExecSpace& exec, View2D<const float> logits_TE, const RouterOptions& options,
                    View1D<const std::uint8_t> skip_T, View2D<const int> expert_TK, View2D<const float> dweight_TK,
                    View2D<float> dlogits_TE);

/// A router for measurements that spreads the load evenly: slot i = first_slot + t K + k goes to expert i mod
/// num_experts with weight 1 / K. `noise` in (0, 1] makes load and weights uneven instead, 1 entirely random; the
/// choice then depends only on (seed, first_slot, t). Source: NeMo `FakeBalancedGate`. Throws Error if the shapes
/// disagree, K > num_experts, noise is outside [0, 1], or a limit is exceeded.
void route_balanced(const ExecSpace& exec, std::int64_t first_slot, int num_experts, float noise, std::uint64_t seed,
                    View2D<int> expert_TK, View2D<float> weight_TK);

}  // namespace m2
