// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/deck.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"
#include "train/checkpoint/background_writer.hpp"
#include "train/optimizer.hpp"

namespace m2 {

/// The checkpoints of a run: written in the background, exported where the deck asks for it, failures told on stderr.
class TrainingSaver {
 public:
  /// Without checkpoint.folder nothing is saved. `texts` travel along. While a save is under way the optimizer waits,
  /// parameter by parameter, for what is still being read. The deck is the user's: adapters that are exported name its
  /// model.checkpoint as the model that they belong to.
  TrainingSaver(const Deck& deck, MiniMaxM2ForCausalLM& model, Optimizer& optimizer, Texts texts);
  ~TrainingSaver();

  /// Begins to write step-<step>.h5, if there is a folder and the step is not saved yet.
  void save(std::int64_t step, std::string trainer_json, bool is_best, bool is_last);

  /// Waits for the last save and has it score `sequences` beside the model, where the memory is enough for both.
  /// Throws Error when a bit differs.
  void score_last(const TrainingSequences& sequences);

  /// Returns when everything is on the disk.
  void finish();

 private:
  // Of the base's parameters, which the optimizer's parameter i is, or is the adapter of.
  std::vector<std::size_t> trained_places() const;
  void tell(const std::optional<SaveResult>& result);
  void export_step(std::int64_t step);

  CheckpointSection section_;
  MemorySection memory_;
  MiniMaxM2ForCausalLM& model_;
  Optimizer& optimizer_;
  TrainingState state_;
  std::string base_model_;
  std::optional<BackgroundWriter> writer_;
  std::optional<std::int64_t> saved_step_;
};

}  // namespace m2
