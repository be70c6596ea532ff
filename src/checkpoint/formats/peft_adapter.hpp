// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "io/safetensors.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"

namespace m2 {

/// A folder of PEFT (adapter_config.json, adapter_model.safetensors), opened and checked. Of a projection of attention,
/// the router and the head it holds lora_A (J, in) and lora_B (out, J); of an expert stack of E matrices lora_A (E J,
/// in), experts outside, and lora_B (out, J E), ranks outside. Both stacks of a layer have the module "mlp.experts",
/// the one that was wrapped first as its "base_layer": shapes tell which is which. Older exports exchange the two: A is
/// (E J, out) and B (in, J E), which shapes tell as well.
class PeftAdapter {
 public:
  /// Throws Error, naming up to ten tensors, unless every one belongs to a weight of the model, both halves are there,
  /// and ranks are those of the configuration; and for what AdapterConfig refuses.
  PeftAdapter(const std::string& folder, const MiniMaxM2Config& config);

  const std::string& folder() const { return folder_; }
  /// In the order of their bases.
  const std::vector<AdapterSpec>& adapters() const { return adapters_; }

  /// Gives the model's adapters memory and fills them. Those of adapters() must be among the model's, with these ranks:
  /// throws Error otherwise. Others are left alone. Of a stack, the experts that are in this process.
  void load(MiniMaxM2ForCausalLM& model) const;

 private:
  // The two tensors beside a weight.
  struct Halves {
    const TensorEntry* a = nullptr;
    const TensorEntry* b = nullptr;
    bool is_exchanged = false;
  };
  class Matching;

  void load_half(std::size_t index, bool is_a, Parameter& parameter, const ExecSpace& exec) const;
  std::vector<float> values(const TensorEntry& entry) const;
  std::vector<float> read_half(const ParameterSchema& base, const Halves& halves, bool is_a) const;

  std::string folder_;
  SafetensorsFile file_;
  ParameterSchemas schemas_;
  std::vector<AdapterSpec> adapters_;
  std::vector<Halves> halves_;  // as adapters_
};

/// Writes the model's adapters as a folder that PEFT loads. `base_model`: the checkpoint that they belong to. `folder`
/// must not exist or be empty. Throws Error for a model without adapters, and where experts are in other processes.
void write_adapter(MiniMaxM2ForCausalLM& model, const std::string& folder, const std::string& base_model);

}  // namespace m2
