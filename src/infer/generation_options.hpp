// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/deck.hpp"
#include "config/generation_defaults.hpp"
#include "config/minimax_m2_config.hpp"
#include "infer/sampler.hpp"
#include "text/tokenizer.hpp"

namespace m2 {

/// What a generate job does with every prompt.
struct GenerationOptions {
  SamplingOptions sampling;
  std::int64_t max_new_tokens = 256;
  std::vector<int> stop_token_ids;  ///< end-of-sequence tokens included
  std::vector<std::string> stop;
  bool logprobs = false;
  std::vector<int> never_V;  ///< rows of the vocabulary without a token
};

/// The tokens that end a generated text: the eos_token_id of generation_config.json, else of config.json, else the
/// tokenizer's "[e~[".
std::vector<int> end_of_sequence(const GenerationDefaults& defaults, const MiniMaxM2Config& config,
                                 const Tokenizer* tokenizer);

/// The deck's wishes. Temperature, top_k and top_p it leaves open: what generation_config.json says, where it says
/// do_sample; else the likeliest token. The sequence ends at end_of_sequence(), unless ignore_eos. Without a tokenizer
/// (nullptr), throws UsageError if there are stop strings.
GenerationOptions resolve_generation_options(const SamplingSection& deck, const GenerationDefaults& defaults,
                                             const MiniMaxM2Config& config, const Tokenizer* tokenizer);

}  // namespace m2
