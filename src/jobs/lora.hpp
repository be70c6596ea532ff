// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "checkpoint/formats/peft_adapter.hpp"
#include "config/training_sections.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"

namespace m2 {

/// The adapters of a job: those of a PEFT folder, of new ones, or of both.
class AppliedLora {
 public:
  AppliedLora(std::optional<PeftAdapter> adapter, std::string summary)
      : adapter_(std::move(adapter)), summary_(std::move(summary)) {}

  /// Gives them memory and numbers: the folder's, and for new ones A random and B 0. Throws Error as
  /// PeftAdapter::load().
  void load(MiniMaxM2ForCausalLM& model, std::uint64_t seed) const;

  /// "adapters: q_proj 62, experts 124; rank 8, alpha 32": how often each target was hit.
  const std::string& summary() const { return summary_; }

 private:
  std::optional<PeftAdapter> adapter_;
  std::string summary_;
};

/// Puts the adapters that a deck asks for beside the model's weights, without memory, so that plans count them; nothing
/// where it asks for none. Targets are q_proj, k_proj, v_proj, o_proj, experts, gate and lm_head. With lora.adapter
/// what the deck leaves out is the adapter's, a target that it does not have gets a new one. Throws UsageError for a
/// target that hits nothing (with the nearest name), for targets that leave out a part of the adapter, for a rank other
/// than the adapter's, and for dropout, which is not supported; Error for a folder that PeftAdapter refuses.
std::optional<AppliedLora> apply_lora(MiniMaxM2ForCausalLM& model, const LoraSection& lora);

}  // namespace m2
