// SPDX-License-Identifier: Apache-2.0
#include "jobs/training_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "core/error.hpp"
#include "core/stop_signal.hpp"
#include "core/stopwatch.hpp"
#include "train/flop_count.hpp"

namespace m2 {
namespace {

// Micro-batches of at most `micro_batch` sequences; each document is a sequence of its own in the pass.
std::vector<TrainingSequences> micro_batches(const std::vector<std::vector<Document>>& sequences, int micro_batch) {
  std::vector<TrainingSequences> batches;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    if (i % std::size_t(micro_batch) == 0) batches.emplace_back();
    for (const Document& document : sequences[i]) batches.back().add(document.tokens, document.labels);
  }
  return batches;
}

std::vector<SampleId> ids_of(const std::vector<std::vector<Document>>& sequences) {
  std::vector<SampleId> ids;
  for (const std::vector<Document>& sequence : sequences) {
    for (const Document& document : sequence) ids.push_back(document.id);
  }
  return ids;
}

std::vector<std::int64_t> lengths_of(const std::vector<std::vector<Document>>& sequences) {
  std::vector<std::int64_t> lengths;
  for (const std::vector<Document>& sequence : sequences) {
    for (const Document& document : sequence) lengths.push_back(std::ssize(document.tokens));
  }
  return lengths;
}

std::string duration_text(double seconds) {
  const auto whole = std::int64_t(seconds + 0.5);
  return whole < 3600 ? fmt::format("{}:{:02}", whole / 60, whole % 60)
                      : fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

}  // namespace

std::int64_t count_steps(const TrainSection& train, TrainData& data) {
  if (train.steps) return *train.steps;
  std::int64_t sequences = 0;
  for (std::int64_t epoch = 0; epoch < *train.epochs; ++epoch) sequences += data.sequences_in_epoch(epoch);
  return (sequences + train.global_batch - 1) / train.global_batch;
}

TrainingRun::TrainingRun(const Deck& deck, RunData& data, Trainer& trainer, TrainingSaver& saver, Metrics& metrics,
                         const MiniMaxM2Config& config, std::int64_t num_steps,
                         std::optional<double> peak_flop_per_second)
    : deck_(deck),
      data_(data),
      trainer_(trainer),
      saver_(saver),
      metrics_(metrics),
      config_(config),
      num_steps_(num_steps),
      peak_flop_per_second_(peak_flop_per_second) {}

void TrainingRun::run(RunPosition position) {
  position_ = std::move(position);
  trainer_.set_position(position_.trainer);
  try {
    run_steps();
  } catch (const Interrupted&) {
    // Nothing but gradients has changed since the last step ended.
    if (position_.step > 0) save(/*is_last=*/false);
    saver_.finish();
    throw;
  }
  saver_.finish();
}

void TrainingRun::run_steps() {
  if (is_validation_due() && position_.validated_step != position_.step) validate();
  // A run that was killed behind its last step has its checkpoint, which stays as it is, but perhaps not its export.
  if (position_.step >= num_steps_) save(/*is_last=*/true);
  while (position_.step < num_steps_) {
    do_step();
    const bool is_last = position_.step == num_steps_;
    if (is_validation_due()) validate();
    if (is_last || is_due(deck_.checkpoint.every)) save(is_last);
    throw_if_stop_requested();
  }
}

bool TrainingRun::is_due(const std::optional<std::int64_t>& every) const {
  return every && position_.step % *every == 0;
}

// Before the first step, every so often, and after the last one.
bool TrainingRun::is_validation_due() const {
  return position_.step == 0 || position_.step == num_steps_ || is_due(deck_.validation.every);
}

// The sequences of the next step; `position` moves behind them. The last step of a run of epochs may have fewer.
std::vector<std::vector<Document>> TrainingRun::next_sequences(DataPosition& position) {
  std::vector<std::vector<Document>> sequences;
  while (std::ssize(sequences) < deck_.train.global_batch) {
    if (deck_.train.epochs && position.epoch >= *deck_.train.epochs) break;
    sequences.push_back(data_.training.sequence(position));
    position = data_.training.after(position);
  }
  return sequences;
}

void TrainingRun::do_step() {
  const Stopwatch stopwatch;
  StepContext context{
      .step = position_.step + 1, .epoch = position_.data.epoch, .peak_flop_per_second = peak_flop_per_second_};
  DataPosition behind = position_.data;
  const std::vector<std::vector<Document>> sequences = next_sequences(behind);
  const std::vector<TrainingSequences> batches = micro_batches(sequences, deck_.train.micro_batch);
  context.data_seconds = stopwatch.seconds();
  const StepReport report = trainer_.step(batches);
  context.seconds = stopwatch.seconds();
  context.flop = training_flop(config_, lengths_of(sequences));
  context.sample_hash = fmt::format("{:016x}", sample_ids_hash(ids_of(sequences)));

  last_batch_ = batches.back();
  position_.step = context.step;
  position_.data = behind;
  position_.trainer = trainer_.position();
  metrics_.write(step_line(context, report));
  seconds_of_steps_ += context.seconds;
  ++steps_here_;
  const double left = seconds_of_steps_ / double(steps_here_) * double(num_steps_ - position_.step);
  fmt::print(stderr, "m2: step {:>{}}/{}  loss {:<8.5f} norm {:<8.3g} lr {:<9.3g} {:>7.0f} tokens/s  {} left{}\n",
             position_.step, fmt::formatted_size("{}", num_steps_), num_steps_, report.loss, report.grad_norm,
             report.learning_rate, double(report.num_tokens) / context.seconds, duration_text(left),
             report.is_skipped ? "  skipped: the gradient is not finite" : "");
}

void TrainingRun::validate() {
  if (!data_.validation) return;
  const Stopwatch stopwatch;
  TrainData& data = *data_.validation;
  TrainingLoss total;
  std::vector<std::vector<Document>> batch;
  for (DataPosition at; at.epoch == 0; at = data.after(at)) {
    batch.push_back(data.sequence(at));
    if (std::ssize(batch) < deck_.train.micro_batch && data.after(at).epoch == 0) continue;
    const TrainingLoss loss = trainer_.evaluate(micro_batches(batch, deck_.train.micro_batch));
    total.nll += loss.nll;
    total.num_labels += loss.num_labels;
    batch.clear();
  }
  const double loss = total.num_labels > 0 ? total.nll / double(total.num_labels) : 0.0;
  metrics_.write(validation_line(position_.step, total, stopwatch.seconds()));
  fmt::print(stderr, "m2: validation after step {}: loss {:.5f} over {} tokens, {:.1f} s\n", position_.step, loss,
             total.num_labels, stopwatch.seconds());
  position_.validated_step = position_.step;
  const auto& expect = deck_.validation.expect;
  if (position_.step == 0 && expect && (loss < expect->at(0) || loss > expect->at(1))) {
    raise(
        "validation.expect: the loss before the first step is {:.5f}, expected {} to {}: a wrongly loaded model, "
        "another tokenizer, or other data",
        loss, expect->at(0), expect->at(1));
  }
  if (position_.step > 0 && (!position_.best_validation || loss < *position_.best_validation)) {
    position_.best_validation = loss;
    position_.best_step = position_.step;
  }
}

// The first save of a process and the last one are scored beside the model.
void TrainingRun::save(bool is_last) {
  saver_.save(position_.step, position_json(position_, deck_, data_.training.fingerprint()),
              position_.best_step == position_.step, is_last);
  if (!last_batch_ || (scored_a_save_ && !is_last) || stop_requested()) return;
  saver_.score_last(*last_batch_);
  scored_a_save_ = true;
}

}  // namespace m2
