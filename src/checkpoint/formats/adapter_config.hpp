// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <regex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/minimax_m2_for_causal_lm.hpp"

namespace m2 {

/// What PEFT's adapter_config.json says of ranks and factors. Modules are named as in transformers:
/// "model.layers.0.self_attn.q_proj", and an expert stack "model.layers.0.mlp.experts.gate_up_proj".
class AdapterConfig {
 public:
  /// Throws Error, naming `source` and the key, for what is no LoRA, or changes the arithmetic in a way that is not
  /// supported: DoRA, biases, whole modules that were trained along.
  static AdapterConfig from_json(std::string_view text, const std::string& source);

  /// rank_pattern's of the first pattern that matches the module, else r.
  int rank(const std::string& module) const;
  /// Likewise; such that what the adapter adds is scaled by alpha / rank, also with use_rslora.
  double alpha(const std::string& module) const;

 private:
  template <class T>
  using Patterns = std::vector<std::pair<std::regex, T>>;

  int rank_ = 0;
  double alpha_ = 0.0;
  bool use_rslora_ = false;
  Patterns<int> rank_patterns_;
  Patterns<double> alpha_patterns_;
};

/// The text of adapter_config.json for adapters of a model with `num_layers` layers; `base_model` names the checkpoint
/// they belong to.
std::string adapter_config_json(const std::vector<AdapterSpec>& adapters, int num_layers,
                                const std::string& base_model);

/// The module of a parameter that an adapter is beside: "layers/0/attention/q_proj" is
/// "model.layers.0.self_attn.q_proj".
std::string adapted_module(const std::string& parameter);

}  // namespace m2
