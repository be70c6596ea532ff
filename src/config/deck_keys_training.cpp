// SPDX-License-Identifier: Apache-2.0
// The keys of the sections that only training has.
#include "config/deck_key_makers.hpp"

namespace m2::deck_key {
namespace {

constexpr std::int64_t kMaxSteps = 1'000'000'000'000;
constexpr int kMaxBatch = 1 << 20;

void add_train(std::vector<DeckKey>& keys) {
  constexpr auto kSection = &Deck::train;
  keys.push_back(with_example(whole("train.steps", kTrain, kSection, &TrainSection::steps, 1, kMaxSteps,
                                    "Steps of the optimizer, counted from the first run. Either this or train.epochs."),
                              "1000"));
  keys.push_back(whole("train.epochs", kTrain, kSection, &TrainSection::epochs, 1, 1'000'000,
                       "How often all documents are read."));
  keys.push_back(whole("train.global_batch", kTrain, kSection, &TrainSection::global_batch, 1, kMaxBatch,
                       "Sequences of one step."));
  keys.push_back(whole("train.micro_batch", kTrain, kSection, &TrainSection::micro_batch, 1, kMaxBatch,
                       "Sequences of one pass, at most: a step has as many passes as it takes. Costs memory."));
  keys.push_back(real("train.max_grad_norm", kTrain, kSection, &TrainSection::max_grad_norm, 1e-6, 1e6,
                      "The norm of all gradients together is clipped to this. null: is not clipped."));
  keys.push_back(word("train.recompute", kTrain, kSection, &TrainSection::recompute,
                      "What the backward pass computes again instead of keeping it: costs time, saves memory, changes "
                      "no bit. none: nothing; block: all but the input of a layer; auto: what the memory asks for."));
  keys.push_back(whole("train.max_skipped_steps", kTrain, kSection, &TrainSection::max_skipped_steps, 0, kMaxBatch,
                       "A step whose gradient is not finite is skipped. More than this many in a row end the job."));
  keys.push_back(texts("train.freeze", kTrain, kSection, &TrainSection::freeze,
                       "Patterns of names of parameters that stay as they are."));
}

void add_optimizer(std::vector<DeckKey>& keys) {
  constexpr auto kSection = &Deck::optimizer;
  keys.push_back(word("optimizer.name", kTrain, kSection, &OptimizerSection::name, "The optimizer."));
  keys.push_back(real("optimizer.learning_rate", kTrain, kSection, &OptimizerSection::learning_rate, 0.0, 100.0,
                      "The largest learning rate; the schedule lowers it."));
  keys.push_back(key("optimizer.betas", kTrain, kSection, &OptimizerSection::betas, TwoNumbers{kBelowOne, false},
                     "a list of two numbers from 0 to below 1",
                     "Of adamw: how much of the old moments stays in a step, first and second."));
  keys.push_back(real("optimizer.eps", kTrain, kSection, &OptimizerSection::eps, 1e-30, 1.0,
                      "Of adamw: is added to the root of the second moment."));
  keys.push_back(below_one("optimizer.momentum", kTrain, kSection, &OptimizerSection::momentum,
                           "Of sgd: how much of the old step stays in a step."));
  keys.push_back(real("optimizer.weight_decay", kTrain, kSection, &OptimizerSection::weight_decay, 0.0, 100.0,
                      "Decoupled: each step takes this times the learning rate of a weight away. Vectors have none, "
                      "unless optimizer.groups says so."));
  keys.push_back(word("optimizer.moments", kTrain, kSection, &OptimizerSection::moments,
                      "Type in which the moments are kept; bfloat16 is rounded stochastically and halves them."));
  keys.push_back(texts("optimizer.groups", kTrain, kSection, &OptimizerSection::groups,
                       "Factors on learning rate and weight decay for some parameters: 'PATTERN lr=FACTOR "
                       "decay=FACTOR'. The first whose pattern matches a parameter's name counts."));
}

void add_schedule(std::vector<DeckKey>& keys) {
  constexpr auto kSection = &Deck::schedule;
  keys.push_back(word("schedule.name", kTrain, kSection, &ScheduleSection::name,
                      "How the learning rate falls after the warm-up; wsd: stays, and falls in the last "
                      "schedule.decay_steps."));
  keys.push_back(whole("schedule.warmup_steps", kTrain, kSection, &ScheduleSection::warmup_steps, 0, kMaxSteps,
                       "Steps in which the learning rate rises evenly to optimizer.learning_rate."));
  keys.push_back(real("schedule.min_ratio", kTrain, kSection, &ScheduleSection::min_ratio, 0.0, 1.0,
                      "The learning rate at the end, relative to optimizer.learning_rate; of linear, cosine and wsd."));
  keys.push_back(whole("schedule.decay_steps", kTrain, kSection, &ScheduleSection::decay_steps, 1, kMaxSteps,
                       "Of wsd: steps in which the learning rate falls. null: a tenth of all."));
  keys.push_back(word("schedule.decay", kTrain, kSection, &ScheduleSection::decay, "Of wsd: how it falls in them."));
}

void add_lora(std::vector<DeckKey>& keys) {
  constexpr auto kSection = &Deck::lora;
  keys.push_back(whole("lora.rank", kTrain, kSection, &LoraSection::rank, 1, 1 << 16,
                       "Trains low-rank adapters of this rank beside the weights, which stay as they are. null: the "
                       "adapter's; without lora.adapter, all weights are trained."));
  keys.push_back(real("lora.alpha", kTrain, kSection, &LoraSection::alpha, 1e-6, 1e6,
                      "An adapter's product is multiplied by this over its rank. null: the adapter's; without "
                      "lora.adapter, lora.rank."));
  keys.push_back(below_one("lora.dropout", kTrain, kSection, &LoraSection::dropout,
                           "Probability with which an element of an adapter's input is left out in a step."));
  keys.push_back(texts("lora.targets", kTrain, kSection, &LoraSection::targets,
                       "What gets adapters: names of projections, such as q_proj, experts for those of the experts. "
                       "[]: the adapter's."));
  keys.push_back(path("lora.adapter", kTrain, kSection, &LoraSection::adapter, PathUse::read,
                      "A PEFT folder with the adapters to start from. null: new ones, which change nothing at first."));
}

void add_checkpoint(std::vector<DeckKey>& keys) {
  constexpr auto kSection = &Deck::checkpoint;
  keys.push_back(with_example(
      path("checkpoint.folder", kTrain, kSection, &CheckpointSection::folder, PathUse::add_to_folder,
           "Gets a file step-N.h5 for each save, with all it takes to continue, and the links latest and best. It may "
           "be there from an earlier run. null: nothing is saved."),
      "run"));
  keys.push_back(whole("checkpoint.every", kTrain, kSection, &CheckpointSection::every, 1, kMaxSteps,
                       "Steps between saves. null: only at the end and when the job is told to stop."));
  keys.push_back(whole("checkpoint.keep", kTrain, kSection, &CheckpointSection::keep, 0, kMaxBatch,
                       "Checkpoints that stay, besides those that latest and best name."));
  keys.push_back(word("checkpoint.export", kTrain, kSection, &CheckpointSection::export_when,
                      "Writes a Hugging Face folder (of adapters: a PEFT folder), too: beside the last checkpoint "
                      "(final) or beside each."));
}

void add_validation(std::vector<DeckKey>& keys) {
  constexpr auto kSection = &Deck::validation;
  keys.push_back(path("validation.file", kTrain, kSection, &ValidationSection::file, PathUse::read,
                      "Data whose loss is computed but not trained on, as data.file. null: none but those of "
                      "data.holdout_fraction."));
  keys.push_back(whole("validation.every", kTrain, kSection, &ValidationSection::every, 1, kMaxSteps,
                       "Steps between validations. null: before the first step and after the last."));
  constexpr double kMaxLoss = 1e6;
  keys.push_back(key("validation.expect", kTrain, kSection, &ValidationSection::expect,
                     TwoNumbers{{0.0, kMaxLoss}, true},
                     fmt::format("a list of two ascending numbers from 0 to {}", kMaxLoss),
                     "The job ends if the loss before the first step is not between the two: a model that was wrongly "
                     "loaded is noticed. null: not looked at."));
}

DeckKey restore_from() {
  constexpr auto kSection = &Deck::restore;
  DeckKey result = path("restore.from", kTrain, kSection, &RestoreSection::from, PathUse::read,
                        "The checkpoint to continue from: latest, which is that of checkpoint.folder, if there is one; "
                        "none; or its path.");
  result.paths = [](const Deck& deck) {
    const std::string& from = deck.restore.from;
    return from == kRestoreLatest || from == kRestoreNone ? std::vector<std::string>{} : paths_of(from);
  };
  return result;
}

void add_restore(std::vector<DeckKey>& keys) {
  constexpr auto kSection = &Deck::restore;
  keys.push_back(restore_from());
  keys.push_back(word("restore.what", kTrain, kSection, &RestoreSection::what,
                      "all: continues that run; model: begins another with its weights."));
  keys.push_back(flag("restore.override", kTrain, kSection, &RestoreSection::override_deck,
                      "Continues although keys of the schedule or the data are not those of the checkpoint."));
}

}  // namespace

void add_training_keys(std::vector<DeckKey>& keys) {
  add_train(keys);
  add_optimizer(keys);
  add_schedule(keys);
  add_lora(keys);
  add_checkpoint(keys);
  add_validation(keys);
  add_restore(keys);
}

}  // namespace m2::deck_key
