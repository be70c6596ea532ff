// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "config/generation_defaults.hpp"
#include "infer/prompts.hpp"
#include "text/tokenizer.hpp"

namespace m2 {

/// What reading training data needs to know of the model. The tokenizer must outlive it.
struct DataContext {
  const Tokenizer* tokenizer = nullptr;  ///< nullptr: only token ids can be read
  std::string default_system_prompt;     ///< of conversations without a system message
  int vocab_size = 0;
  /// Ends a text and a completion, so that a model learns where to stop: the first token that ends a generated text
  /// (end_of_sequence()). Unset: nothing is added.
  std::optional<int> end_token;
};

DataContext make_data_context(const PromptContext& prompts, const GenerationDefaults& defaults);

}  // namespace m2
