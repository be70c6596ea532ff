// SPDX-License-Identifier: Apache-2.0
#include "train/trainer.hpp"

#include <cmath>
#include <numeric>

#include "core/error.hpp"
#include "core/host_copy.hpp"
#include "core/stop_signal.hpp"
#include "core/stopwatch.hpp"
#include "train/schedule.hpp"

namespace m2 {

Trainer::Trainer(MiniMaxM2ForCausalLM& model, Optimizer& optimizer, const TrainerOptions& options)
    : model_(model), optimizer_(optimizer), options_(options) {
  model_.model.count_expert_load(model_.exec());
}

StepReport Trainer::step(std::span<const TrainingSequences> micro_batches) {
  StepReport report;
  for (const TrainingSequences& sequences : micro_batches) {
    report.num_tokens += sequences.num_tokens();
    report.num_labels += sequences.num_labels();
  }
  const ExpertLoad before = model_.model.expert_load(model_.exec());
  const float loss_scale = report.num_labels > 0 ? float(1.0 / double(report.num_labels)) : 0.0f;
  const float share = 1.0f / float(micro_batches.size());
  double nll = 0.0;
  model_.zero_gradients();
  for (const TrainingSequences& sequences : micro_batches) {
    throw_if_stop_requested();
    Stopwatch stopwatch;
    nll += model_.forward(sequences, loss_scale).nll;
    report.forward_seconds += stopwatch.seconds();
    stopwatch = Stopwatch();
    const bool is_last = &sequences == &micro_batches.back();
    is_last ? model_.prepare_for_final_backward() : model_.prepare_for_grad_accumulation();
    model_.backward(share);
    model_.exec().fence("m2::trainer: the time of the backward pass");
    report.backward_seconds += stopwatch.seconds();
  }
  report.loss = report.num_labels > 0 ? nll / double(report.num_labels) : 0.0;
  report.auxiliary_loss = take_auxiliary_loss() / double(micro_batches.size());
  report.expert_load = load_since(before);
  const Stopwatch stopwatch;
  update(report);
  report.optimizer_seconds = stopwatch.seconds();
  return report;
}

void Trainer::update(StepReport& report) {
  report.grad_norm = optimizer_.gradient_norm();
  const std::int64_t update = position_.updates + 1;
  report.learning_rate = options_.learning_rate * learning_rate_factor(options_.schedule, update, options_.num_steps);
  if (!std::isfinite(report.grad_norm)) {
    report.is_skipped = true;
    ++position_.num_skipped;
    ++position_.skipped_in_a_row;
    M2_REQUIRE(
        position_.skipped_in_a_row <= options_.max_skipped_steps,
        "training: the norm of the gradient was not finite in {} steps in a row (train.max_skipped_steps is {}): "
        "lower optimizer.learning_rate, or look for damaged data",
        position_.skipped_in_a_row, options_.max_skipped_steps);
    return;
  }
  position_.skipped_in_a_row = 0;
  position_.updates = update;
  const double scale = options_.max_grad_norm ? clip_factor(report.grad_norm, *options_.max_grad_norm) : 1.0;
  optimizer_.step(report.learning_rate, scale, update);
  report.updates_lost = optimizer_.updates_lost();
  if (options_.gate_bias_update_factor > 0.0) update_selection_bias(report.expert_load);
  model_.exec().fence("m2::trainer: the time of the optimizer");
}

TrainingLoss Trainer::evaluate(std::span<const TrainingSequences> micro_batches) {
  TrainingLoss total;
  for (const TrainingSequences& sequences : micro_batches) {
    throw_if_stop_requested();
    const TrainingLoss loss = model_.evaluate(sequences);
    total.nll += loss.nll;
    total.num_labels += loss.num_labels;
  }
  return total;
}

// Source: NeMo Automodel, Gate.update_bias: bias += factor * sign(mean load - load).
void Trainer::update_selection_bias(const ExpertLoad& load) {
  for (std::size_t layer = 0; layer < load.size(); ++layer) {
    const View1D<float>& bias_E = model_.model.layers[layer].mlp.gate.selection_bias;
    if (bias_E.extent(0) == 0) continue;
    const double mean =
        double(std::accumulate(load[layer].begin(), load[layer].end(), std::int64_t{0})) / double(load[layer].size());
    std::vector<float> bias = to_host(model_.exec(), bias_E, "m2::trainer: the host updates the selection bias");
    for (std::size_t e = 0; e < bias.size(); ++e) {
      const double difference = mean - double(load[layer][e]);
      const double sign = difference > 0.0 ? 1.0 : difference < 0.0 ? -1.0 : 0.0;
      bias[e] += float(options_.gate_bias_update_factor * sign);
    }
    copy_to_device(model_.exec(), std::span<const float>(bias), bias_E);
    model_.exec().fence("m2::trainer: the host's bias ends here");
  }
}

ExpertLoad Trainer::load_since(const ExpertLoad& before) const {
  ExpertLoad load = model_.model.expert_load(model_.exec());
  for (std::size_t layer = 0; layer < load.size(); ++layer) {
    for (std::size_t e = 0; e < load[layer].size(); ++e) load[layer][e] -= before[layer][e];
  }
  return load;
}

// The mean over the layers of what backward() added, which is set to zero.
double Trainer::take_auxiliary_loss() {
  double sum = 0.0;
  for (const Block& block : model_.model.layers) {
    const View1D<double>& loss = block.mlp.gate.auxiliary_loss;
    if (loss.extent(0) == 0) return 0.0;
    sum += to_host(model_.exec(), loss, "m2::trainer: the host reads the auxiliary loss").front();
    Kokkos::deep_copy(model_.exec(), loss, 0.0);
  }
  return sum / double(model_.model.layers.size());
}

}  // namespace m2
