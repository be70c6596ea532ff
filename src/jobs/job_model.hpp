// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "checkpoint/load/pretrained.hpp"
#include "checkpoint/tensor_sink.hpp"
#include "checkpoint/tensor_source.hpp"
#include "config/deck.hpp"
#include "config/generation_defaults.hpp"
#include "infer/prompts.hpp"
#include "jobs/lora.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"
#include "text/tokenizer.hpp"

namespace m2 {

/// A checkpoint opened for a job, or the configuration of a model with random weights: all but the weights is read, so
/// that a job can be checked before the long part.
class JobModel {
 public:
  /// Throws Error when the checkpoint or what it holds cannot be used as the deck wants. Collective.
  JobModel(const Deck& deck, Communicator& world);

  /// nullptr for random weights.
  const TensorSource* source() const { return source_.get(); }
  MiniMaxM2ForCausalLM& model() { return model_; }
  const MiniMaxM2ForCausalLM& model() const { return model_; }
  /// nullptr if the checkpoint has none, or none lies beside the configuration.
  const Tokenizer* tokenizer() const { return tokenizer_ ? &*tokenizer_ : nullptr; }
  /// Tokenizer, chat template and the like: what travels with a checkpoint, but for its configuration.
  Texts texts() const;
  GenerationDefaults generation_defaults() const;
  PromptContext prompt_context() const;

  /// How the experts are split over the ranks; nullptr where they are not.
  const ExpertParallel* expert_parallel() const { return model_.model.expert_parallel().get(); }

  /// Reads the weights, after a line on stderr that tells what model this is. Collective.
  void load();

 private:
  Communicator& world_;
  LoadOptions load_options_;
  std::unique_ptr<TensorSource> source_;
  std::string checkpoint_;      // or the file of the configuration
  MiniMaxM2ForCausalLM model_;  // before load(), its parameters have dtypes and shapes but no memory
  std::optional<Tokenizer> tokenizer_;
  std::optional<AppliedLora> lora_;
  std::uint64_t seed_;  // of new adapters

  std::optional<std::string> text(const TextFile& file) const;
  std::string place(const TextFile& file) const;
};

}  // namespace m2
