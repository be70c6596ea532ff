// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/deck.hpp"
#include "jobs/job_model.hpp"
#include "model/parameter_schema.hpp"

namespace m2 {

/// Where the memory of a training job goes, known before anything large is allocated.
struct TrainingPlan {
  std::int64_t weight_bytes = 0, gradient_bytes = 0, master_bytes = 0, moment_bytes = 0;
  std::int64_t pass_bytes = 0;            ///< activations, keys and values, buffers of a micro-batch that is full
  std::int64_t max_tokens = 0;            ///< of a micro-batch
  int max_sequences = 0;                  ///< documents in it
  std::vector<Recompute> recompute = {};  ///< of each layer
  std::optional<std::int64_t> available_bytes;
  std::int64_t checkpoint_bytes = 0;  ///< of a file

  std::int64_t total_bytes() const { return weight_bytes + gradient_bytes + master_bytes + moment_bytes + pass_bytes; }
};

/// Plans for a model whose parameters have their dtypes. With train.recompute `auto`, layers recompute as little as
/// fits: first none of them anything, then the experts' products, then whole blocks, the last layers first, because
/// what they save is needed the shortest. `trained`: the parameters that have gradients.
TrainingPlan plan_training(JobModel& job, const Deck& deck, const std::vector<ParameterSchema>& trained);

/// Throws Error with the numbers and what to change when the plan needs more than there is.
void require_memory(const TrainingPlan& plan);

/// What --check prints: a table of the job, the model, the memory and the work. `step_flop`: of a step whose sequences
/// are full.
std::string plan_text(const TrainingPlan& plan, const Deck& deck, const JobModel& job, std::int64_t num_steps,
                      double step_flop, double flop_per_second);

}  // namespace m2
