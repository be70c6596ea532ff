// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "model/minimax_m2_for_causal_lm.hpp"

namespace m2 {

/// Loads a checkpoint that was just saved beside the model it was saved from, and scores `sequences` with both: a file
/// whose hashes are right may still hold weights under wrong names, or in another order. Returns false, and does
/// nothing, where `free_bytes` are too few for a second model. Throws Error, which names the file, when a
/// log-probability differs in any bit. The model must be in training mode.
bool require_same_scores(const std::string& path, MiniMaxM2ForCausalLM& model, const TrainingSequences& sequences,
                         std::int64_t free_bytes);

}  // namespace m2
