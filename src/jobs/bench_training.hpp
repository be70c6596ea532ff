// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/result.hpp"
#include "comm/communicator.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"

namespace m2 {

/// Measures whole training steps of a loaded model on random tokens: forward, backward, norm, AdamW. Every operation is
/// in the phase "train", which is added to `result`. The weights change.
void measure_training(MiniMaxM2ForCausalLM& model, const BenchSection& settings, Communicator& world,
                      BenchResult& result);

}  // namespace m2
