// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "config/training_sections.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"
#include "parallel/expert_balance.hpp"
#include "train/optimizer.hpp"

namespace m2 {

/// What one step did.
struct StepReport {
  double loss = 0.0;       ///< the mean of -ln p over the labels of the global batch
  double grad_norm = 0.0;  ///< before clipping
  double learning_rate = 0.0;
  bool is_skipped = false;  ///< the norm was not finite: weights, moments and schedule stand
  std::int64_t num_tokens = 0, num_labels = 0;
  double auxiliary_loss = 0.0;    ///< the mean over layers and micro-batches, without coefficient
  std::int64_t updates_lost = 0;  ///< values of weights that rounding left as they were though their master moved
  ExpertLoad expert_load;         ///< of this step, (layers, experts)
  double forward_seconds = 0.0, backward_seconds = 0.0, optimizer_seconds = 0.0;
};

/// Where a trainer stands: what a checkpoint keeps of it, besides weights and moments.
struct TrainerPosition {
  std::int64_t updates = 0;      ///< of the optimizer: the schedule's clock
  std::int64_t num_skipped = 0;  ///< steps whose gradient was not finite
  int skipped_in_a_row = 0;
};

/// How a trainer works.
struct TrainerOptions {
  double learning_rate = 1e-5;
  ScheduleSection schedule;
  std::int64_t num_steps = 1;  ///< of the schedule
  std::optional<double> max_grad_norm = 1.0;
  int max_skipped_steps = 10;
  double gate_bias_update_factor = 0.0;  ///< 0: the selection bias stays
};

/// The arithmetic of a step: loss, gradients, clipping, optimizer, selection bias. The model must be in training mode.
class Trainer {
 public:
  Trainer(MiniMaxM2ForCausalLM& model, Optimizer& optimizer, const TrainerOptions& options);

  /// One optimizer step over the micro-batches, which together are the global batch. Losses are divided by the number
  /// of its labels, whatever micro-batch they are in. Throws Interrupted between micro-batches, and then nothing but
  /// gradients has changed; Error when max_skipped_steps steps in a row had a gradient that is not finite.
  StepReport step(std::span<const TrainingSequences> micro_batches);

  /// The loss alone: -ln p summed over the labels, and their number. Changes nothing. Throws Interrupted.
  TrainingLoss evaluate(std::span<const TrainingSequences> micro_batches);

  const TrainerPosition& position() const { return position_; }
  void set_position(const TrainerPosition& position) { position_ = position; }

 private:
  void update(StepReport& report);
  void update_selection_bias(const ExpertLoad& load);
  ExpertLoad load_since(const ExpertLoad& before) const;
  double take_auxiliary_loss();

  MiniMaxM2ForCausalLM& model_;
  Optimizer& optimizer_;
  TrainerOptions options_;
  TrainerPosition position_;
};

}  // namespace m2
