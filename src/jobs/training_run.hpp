// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/deck.hpp"
#include "jobs/run_position.hpp"
#include "jobs/training_saver.hpp"
#include "train/data/train_data.hpp"
#include "train/metrics.hpp"
#include "train/trainer.hpp"

namespace m2 {

/// The data of a run.
struct RunData {
  TrainData training;
  std::optional<TrainData> validation;
};

/// The loop of a training job: steps, validation, checkpoints, metrics, until the last step or a signal.
class TrainingRun {
 public:
  /// `num_steps`: all of the run. `peak_flop_per_second`: what the machine can do, for flop_utilisation.
  TrainingRun(const Deck& deck, RunData& data, Trainer& trainer, TrainingSaver& saver, Metrics& metrics,
              const MiniMaxM2Config& config, std::int64_t num_steps, std::optional<double> peak_flop_per_second);

  /// Runs from `position` to the end. Throws Interrupted after a signal, when everything is saved.
  void run(RunPosition position);

 private:
  void run_steps();
  bool is_due(const std::optional<std::int64_t>& every) const;
  bool is_validation_due() const;
  void do_step();
  void validate();
  void save(bool is_last);
  std::vector<std::vector<Document>> next_sequences(DataPosition& position);

  const Deck& deck_;
  RunData& data_;
  Trainer& trainer_;
  TrainingSaver& saver_;
  Metrics& metrics_;
  const MiniMaxM2Config& config_;
  std::int64_t num_steps_;
  std::optional<double> peak_flop_per_second_;
  RunPosition position_;
  std::optional<TrainingSequences> last_batch_;  // of the step before
  bool scored_a_save_ = false;
  double seconds_of_steps_ = 0.0;
  std::int64_t steps_here_ = 0;
};

/// How many steps the deck asks for: train.steps, or what train.epochs take.
std::int64_t count_steps(const TrainSection& train, TrainData& data);

}  // namespace m2
