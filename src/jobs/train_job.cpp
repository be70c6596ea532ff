// SPDX-License-Identifier: Apache-2.0
#include "jobs/train_job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "bench/ceilings.hpp"
#include "config/describe_model.hpp"
#include "core/error.hpp"
#include "core/print.hpp"
#include "core/stop_signal.hpp"
#include "io/file.hpp"
#include "jobs/job_model.hpp"
#include "jobs/training_plan.hpp"
#include "jobs/training_run.hpp"
#include "jobs/training_saver.hpp"
#include "train/adapter_state.hpp"
#include "train/checkpoint/load_state.hpp"
#include "train/flop_count.hpp"
#include "train/make_optimizer.hpp"
#include "train/training_page.hpp"

namespace m2 {
namespace {

constexpr std::int64_t kCeilingBytes = std::int64_t{64} << 20;  // larger than a cache, and read in a moment
constexpr std::uint64_t kRoundingSeed = 0;                      // of stochastic rounding

// The checkpoint to go on from; nothing if the run begins.
std::optional<std::string> find_restore_point(const Deck& deck) {
  const RestoreSection& restore = deck.restore;
  if (restore.from != kRestoreLatest && restore.from != kRestoreNone) return restore.from;
  if (!deck.checkpoint.folder) return std::nullopt;
  const CheckpointFolder folder(*deck.checkpoint.folder);
  if (restore.from == kRestoreNone) {
    if (folder.steps().empty()) return std::nullopt;
    raise_usage("restore.from: none, but checkpoint.folder {} holds checkpoints already: choose another folder",
                folder.path());
  }
  const auto found = folder.find_latest();
  if (!found) return std::nullopt;
  if (!found->warning.empty()) fmt::print(stderr, "m2: {}\n", found->warning);
  return found->path;
}

// The deck with the weights of the checkpoint to go on from.
Deck with_weights_of(Deck deck, const std::optional<std::string>& restore_point) {
  if (!restore_point) return deck;
  deck.model.checkpoint = restore_point;
  deck.model.config.reset();
  return deck;
}

RunData read_data(const Deck& deck, const JobModel& job) {
  const DataContext context = make_data_context(job.prompt_context(), job.generation_defaults());
  RunData data{TrainData(deck.data, context, stderr), std::nullopt};
  if (deck.validation.file) {
    DataSection section = deck.data;
    section.file = *deck.validation.file;
    section.files.clear();
    section.weights.clear();
    section.shuffle = false;
    section.holdout_fraction = 0.0;
    data.validation.emplace(section, context, stderr);
  } else if (deck.data.holdout_fraction > 0.0) {
    data.validation = data.training.holdout();
  }
  return data;
}

// The first documents of the first epoch.
void show(TrainData& data, int count, const Tokenizer* tokenizer) {
  std::string text;
  for (DataPosition at; count > 0 && at.epoch == 0; at = data.after(at)) {
    for (const Document& document : data.sequence(at)) {
      if (count-- > 0) text += show_document(document, tokenizer);
    }
  }
  print_now(text);
}

// With a checkpoint to start from, the bias moves only if the deck says so: fine-tuning changes no routing by itself.
double gate_bias_update_factor(const Deck& deck, const MiniMaxM2ForCausalLM& model) {
  const bool is_named = deck.moe_overrides.contains("gate_bias_update_factor");
  return is_named || deck.model.config ? model.model.config().moe.gate_bias_update_factor : 0.0;
}

TrainerOptions trainer_options(const Deck& deck, const MiniMaxM2ForCausalLM& model, std::int64_t num_steps) {
  return {.learning_rate = deck.optimizer.learning_rate,
          .schedule = deck.schedule,
          .num_steps = num_steps,
          .max_grad_norm = deck.train.max_grad_norm,
          .max_skipped_steps = deck.train.max_skipped_steps,
          .gate_bias_update_factor = gate_bias_update_factor(deck, model)};
}

double peak_of(const Ceilings& ceilings, DType dtype) {
  return dtype == DType::bfloat16 ? ceilings.bfloat16_flop_per_second.value_or(ceilings.float32_flop_per_second)
                                  : ceilings.float32_flop_per_second;
}

double full_step_flop(const Deck& deck, const MiniMaxM2Config& config) {
  const std::vector<std::int64_t> lengths(deck.train.global_batch, deck.data.sequence_length);
  return training_flop(config, lengths);
}

void write_page(const std::string& path, const Metrics& metrics, const JobModel& job, const Deck& deck) {
  const std::vector<std::string> facts{
      describe_model(job.model().config()),
      fmt::format("Computes in {}. {} sequences a step.", name(job.model().dtype()), deck.train.global_batch)};
  write_text_file_atomically(path, training_page(metrics.lines(), facts));
}

// Fills the optimizer's state and the adapters from the checkpoint; what the trainer wrote down.
std::string restore_state(JobModel& job, const Optimizer& optimizer) {
  std::vector<StateTensor> state = optimizer.state();
  for (const StateTensor& tensor : adapter_state(job.model())) state.push_back(tensor);
  load_state(*job.source(), state, job.model().exec());
  return read_trainer_state(*job.source()).json;
}

void require_no_adapters(MiniMaxM2ForCausalLM& model, const std::string& restore_point) {
  if (model.adapters().empty()) return;
  raise_usage("restore.what: model leaves out the adapters of {}; expected all, or restore.from: none and lora.adapter",
              restore_point);
}

}  // namespace

void run_train(const Deck& given, Communicator& world, const JobRequest& request) {
  if (world.size() > 1)
    raise_usage("job train runs on one process, found {} ranks: start it without mpirun", world.size());
  const std::optional<std::string> restore_point = find_restore_point(given);
  const Deck deck = with_weights_of(given, restore_point);
  JobModel job(deck, world);
  MiniMaxM2ForCausalLM& model = job.model();
  if (deck.data.sequence_length > model.config().max_position_embeddings) {
    raise_usage("data.sequence_length: {}, the model has {} positions", deck.data.sequence_length,
                model.config().max_position_embeddings);
  }
  RunData data = read_data(deck, job);
  fmt::print(stderr, "{}", data.training.summary());
  if (request.num_shown > 0) return show(data.training, request.num_shown, job.tokenizer());
  const std::int64_t num_steps = count_steps(deck.train, data.training);
  const std::vector<ParameterSchema> trainable = trainable_parameters(model);
  const ParameterGroups groups(deck.optimizer, deck.train.freeze, trainable);
  const TrainedParameters trained(trainable, groups.factors());
  const TrainingPlan plan = plan_training(job, deck, trained.schemas);
  const double peak = peak_of(measure_ceilings(model.exec(), kCeilingBytes), model.dtype());
  if (request.check_only) {
    print_now(plan_text(plan, deck, job, num_steps, full_step_flop(deck, model.config()), peak) + groups.text());
  }
  require_memory(plan);
  if (request.check_only) return;

  job.load();
  model.train({.recompute = plan.recompute,
               .is_trained = [&](const ParameterSchema& schema) { return trained.contains(schema); }});
  Optimizer optimizer = make_optimizer(model, deck.optimizer, trained, kRoundingSeed);
  RunPosition position;
  if (restore_point && deck.restore.what == RestoreWhat::all) {
    const std::string json = restore_state(job, optimizer);
    position = read_position(json, *restore_point);
    if (!deck.restore.override_deck) require_same_run(given, data.training.fingerprint(), json, *restore_point);
    fmt::print(stderr, "m2: goes on after step {} of {}\n", position.step, *restore_point);
  } else {
    if (restore_point) require_no_adapters(model, *restore_point);
    fmt::print(stderr, "{}", groups.text());
  }
  Trainer trainer(model, optimizer, trainer_options(given, model, num_steps));
  TrainingSaver saver(given, model, optimizer, job.texts());  // makes the folder
  Metrics metrics(deck.output.file, position.step);
  TrainingRun run(given, data, trainer, saver, metrics, model.config(), num_steps, peak);
  const auto finish_page = [&] {
    if (deck.output.report) write_page(*deck.output.report, metrics, job, deck);
  };
  try {
    run.run(position);
  } catch (const Interrupted&) {
    finish_page();
    throw;
  }
  finish_page();
}

}  // namespace m2
