// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/minimax_m2_config.hpp"
#include "infer/prompt_queue.hpp"
#include "infer/prompts.hpp"
#include "io/file.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"
#include "support/exec.hpp"

namespace m2::test {

inline MiniMaxM2Config tiny_config() {
  const std::string path = M2_TEST_DATA "/tiny-f32/config.json";
  return MiniMaxM2Config::from_json(read_text_file(path), path);
}

/// The shape of the fixture tiny-f32 with random weights.
inline MiniMaxM2ForCausalLM tiny_model(DType dtype) {
  ModelOptions options;
  options.dtype = dtype;
  options.exec = exec();
  return MiniMaxM2ForCausalLM::from_config(tiny_config(), options);
}

/// Prompts of these lengths, with tokens that differ from prompt to prompt.
inline std::vector<Prompt> prompts_of(const std::vector<int>& lengths) {
  std::vector<Prompt> prompts;
  for (const int length : lengths) {
    Prompt prompt{.id = prompts.size(), .where = "test", .text = {}, .tokens = {}};
    for (int t = 0; t < length; ++t) prompt.tokens.push_back(int(7 + 31 * prompts.size() + 5 * t * t) % 384);
    prompts.push_back(prompt);
  }
  return prompts;
}

/// first, first + 1, ... count - 1.
inline NextPrompt prompts_in_order(std::int64_t first, std::int64_t count) {
  return [next = first, count]() mutable { return next < count ? std::optional(next++) : std::nullopt; };
}

}  // namespace m2::test
