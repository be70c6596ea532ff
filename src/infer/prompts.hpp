// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "config/deck.hpp"
#include "config/minimax_m2_config.hpp"
#include "text/tokenizer.hpp"

namespace m2 {

/// One line of input, tokenised.
struct Prompt {
  nlohmann::ordered_json id;  ///< as given; else the line's index, counted from 0
  std::string where;          ///< "prompts.jsonl:3", for messages
  std::string text;           ///< empty if it came as token ids
  std::vector<int> tokens;
};

/// What reading input needs to know of the model.
struct PromptContext {
  const MiniMaxM2Config& config;
  const Tokenizer* tokenizer;         ///< nullptr: only token_ids can be read
  std::string default_system_prompt;  ///< of conversations without a system message
};

/// The prompts of a generate job: `prompts.text`, or JSON Lines with exactly one of `prompt`, `token_ids` and
/// `messages` (then perhaps `tools`), and an `id` (text or number) if wanted. No token is put before a text; `messages`
/// follow the chat template. Throws Error naming file and line for a bad line, an empty prompt, a token outside the
/// vocabulary, and a prompt that leaves no position for a new token.
std::vector<Prompt> read_prompts(const PromptsSection& section, const PromptContext& context);

/// The texts of a score job: JSON Lines with exactly one of `text` and `token_ids`, and an `id` if wanted. They may be
/// empty, and as long as the model has positions.
std::vector<Prompt> read_texts(const std::string& file, const PromptContext& context);

}  // namespace m2
