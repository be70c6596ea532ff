// SPDX-License-Identifier: Apache-2.0
#include "infer/generation_options.hpp"

#include "core/error.hpp"

namespace m2 {
namespace {

constexpr const char* kEndOfTurn = "[e~[";

std::vector<int> rows_without_token(const Tokenizer& tokenizer, int vocab_size) {
  std::vector<int> rows;
  for (int id = 0; id < vocab_size; ++id) {
    if (!tokenizer.has_token(id)) rows.push_back(id);
  }
  return rows;
}

SamplingOptions sampling_options(const SamplingSection& deck, const GenerationDefaults& defaults) {
  const double usual_temperature = defaults.do_sample.value_or(false) ? defaults.temperature.value_or(1.0) : 0.0;
  return {.temperature = deck.temperature.value_or(usual_temperature),
          .top_k = deck.top_k.value_or(defaults.top_k.value_or(0)),
          .top_p = deck.top_p.value_or(defaults.top_p.value_or(1.0)),
          .min_p = deck.min_p,
          .repetition_penalty = deck.repetition_penalty,
          .seed = std::uint64_t(deck.seed)};
}

}  // namespace

std::vector<int> end_of_sequence(const GenerationDefaults& defaults, const MiniMaxM2Config& config,
                                 const Tokenizer* tokenizer) {
  if (!defaults.eos_token_id.empty()) return defaults.eos_token_id;
  if (!config.eos_token_id.empty()) return config.eos_token_id;
  if (tokenizer) {
    if (const auto id = tokenizer->find(kEndOfTurn)) return {*id};
  }
  return {};
}

GenerationOptions resolve_generation_options(const SamplingSection& deck, const GenerationDefaults& defaults,
                                             const MiniMaxM2Config& config, const Tokenizer* tokenizer) {
  GenerationOptions options{.sampling = sampling_options(deck, defaults),
                            .max_new_tokens = deck.max_new_tokens,
                            .stop_token_ids = deck.stop_token_ids,
                            .stop = deck.stop,
                            .logprobs = deck.logprobs,
                            .never_V = {}};
  if (!deck.ignore_eos) {
    const std::vector<int> eos = end_of_sequence(defaults, config, tokenizer);
    options.stop_token_ids.insert(options.stop_token_ids.end(), eos.begin(), eos.end());
  }
  if (tokenizer) {
    options.never_V = rows_without_token(*tokenizer, config.vocab_size);
  } else if (!deck.stop.empty()) {
    raise_usage("sampling.stop needs a tokenizer, and the checkpoint has none; use sampling.stop_token_ids");
  }
  return options;
}

}  // namespace m2
