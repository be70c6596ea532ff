// SPDX-License-Identifier: Apache-2.0
#include "train/data/data_context.hpp"

#include "infer/generation_options.hpp"

namespace m2 {

DataContext make_data_context(const PromptContext& prompts, const GenerationDefaults& defaults) {
  DataContext context{.tokenizer = prompts.tokenizer,
                      .default_system_prompt = prompts.default_system_prompt,
                      .vocab_size = prompts.config.vocab_size,
                      .end_token = {}};
  const std::vector<int> end = end_of_sequence(defaults, prompts.config, prompts.tokenizer);
  if (!end.empty() && end[0] >= 0 && end[0] < context.vocab_size) context.end_token = end[0];
  return context;
}

}  // namespace m2
