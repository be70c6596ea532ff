// SPDX-License-Identifier: Apache-2.0
#include "train/make_optimizer.hpp"

#include <algorithm>
#include <utility>

namespace m2 {

std::vector<ParameterSchema> trainable_parameters(MiniMaxM2ForCausalLM& model) {
  std::vector<ParameterSchema> schemas;
  const std::vector<Parameter> adapters = model.adapter_parameters();
  for (const Parameter& parameter : adapters) schemas.push_back(parameter.schema);
  if (!adapters.empty()) return schemas;
  for (const Parameter& parameter : model.parameters()) {
    const bool is_fixed = parameter.schema.kind == ParameterKind::router && !model.model.config().moe.train_gate;
    if (parameter.gradient != nullptr && !is_fixed) schemas.push_back(parameter.schema);
  }
  return schemas;
}

TrainedParameters::TrainedParameters(const std::vector<ParameterSchema>& trainable,
                                     const std::vector<ParameterFactors>& factors_of_trainable) {
  for (std::size_t i = 0; i < trainable.size(); ++i) {
    if (!factors_of_trainable[i].is_trained) continue;
    schemas.push_back(trainable[i]);
    factors.push_back(factors_of_trainable[i]);
  }
}

bool TrainedParameters::contains(const ParameterSchema& schema) const {
  return std::ranges::find(schemas, schema) != schemas.end();
}

Optimizer make_optimizer(MiniMaxM2ForCausalLM& model, const OptimizerSection& section, const TrainedParameters& trained,
                         std::uint64_t seed) {
  std::vector<TrainedParameter> parameters;
  for (const Parameter& parameter : model.parameters()) {
    if (!trained.contains(parameter.schema)) continue;
    parameters.push_back({.schema = parameter.schema,
                          .weight = parameter.weight ? *parameter.weight : Weight(),
                          .vector = parameter.vector ? *parameter.vector : View1D<float>(),
                          .gradient = *parameter.gradient});
  }
  return Optimizer(model.exec(), section, std::move(parameters), trained.factors, seed);
}

}  // namespace m2
