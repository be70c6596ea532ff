// SPDX-License-Identifier: Apache-2.0
#include "jobs/checkpoint_scores.hpp"

#include <array>
#include <bit>

#include "core/error.hpp"

namespace m2 {
namespace {

std::int64_t needed_bytes(MiniMaxM2ForCausalLM& model, const TrainingSequences& sequences) {
  const std::vector<Recompute> recompute(model.model.layers.size(), Recompute::block);
  std::int64_t bytes = model.training_bytes(recompute, sequences.num_tokens(), sequences.num_sequences());
  for (const Parameter& parameter : model.parameters()) bytes += parameter.storage_bytes(parameter.dtype());
  return bytes;
}

}  // namespace

bool require_same_scores(const std::string& path, MiniMaxM2ForCausalLM& model, const TrainingSequences& sequences,
                         std::int64_t free_bytes) {
  if (needed_bytes(model, sequences) > free_bytes) return false;
  auto loaded = MiniMaxM2ForCausalLM::from_pretrained(path, {.backend = model.backend(),
                                                             .moe_config = model.model.config().moe,
                                                             .dtype = model.dtype(),
                                                             .exec = model.exec()});
  loaded.train({.recompute = {Recompute::block}, .is_trained = [](const ParameterSchema&) { return false; }});
  const std::vector<float> expected = model.evaluate(sequences).logprob_T, found = loaded.evaluate(sequences).logprob_T;
  for (std::size_t t = 0; t < expected.size(); ++t) {
    M2_REQUIRE(std::bit_cast<std::uint32_t>(expected[t]) == std::bit_cast<std::uint32_t>(found[t]),
               "{}: the checkpoint does not score as the model that it was saved from: token {} of the last batch has "
               "log-probability {}, and {} from the file; do not go on from it",
               path, t, expected[t], found[t]);
  }
  return true;
}

}  // namespace m2
