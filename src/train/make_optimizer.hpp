// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "model/minimax_m2_for_causal_lm.hpp"
#include "train/optimizer.hpp"

namespace m2 {

/// The parameters of a model that gradients reach, in its order: not the selection bias, and the router only where
/// moe.train_gate says so. Of a model with adapters, those alone.
std::vector<ParameterSchema> trainable_parameters(MiniMaxM2ForCausalLM& model);

/// Those of them that are trained, and how.
struct TrainedParameters {
  std::vector<ParameterSchema> schemas;
  std::vector<ParameterFactors> factors;

  /// `factors`: of each of `trainable`, as ParameterGroups gives them.
  TrainedParameters(const std::vector<ParameterSchema>& trainable, const std::vector<ParameterFactors>& factors);

  bool contains(const ParameterSchema& schema) const;
};

/// The optimizer of a model in training mode, whose trained parameters have gradients. `seed`: of stochastic rounding.
Optimizer make_optimizer(MiniMaxM2ForCausalLM& model, const OptimizerSection& section, const TrainedParameters& trained,
                         std::uint64_t seed);

}  // namespace m2
