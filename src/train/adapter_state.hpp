// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "model/minimax_m2_for_causal_lm.hpp"
#include "train/checkpoint/state_tensor.hpp"

namespace m2 {

/// A and B of a model's adapters as a checkpoint of a training run holds them, beside the optimizer's state: the file's
/// /model is that of the base, for which all programs can open it. Named "<base>/lora_A/value". The memory is the
/// model's.
std::vector<StateTensor> adapter_state(MiniMaxM2ForCausalLM& model);

}  // namespace m2
