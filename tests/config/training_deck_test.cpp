// SPDX-License-Identifier: Apache-2.0
// The deck of a train job: its keys, their values, and what they must be to one another.
#include <gmock/gmock.h>

#include "config/deck.hpp"
#include "config/parse_text.hpp"
#include "core/error.hpp"

namespace m2 {
namespace {

using ::testing::HasSubstr;

// Four lines.
constexpr const char* kSmallest = "job: train\nmodel: {checkpoint: m.h5}\ndata: {file: t.jsonl}\ntrain: {steps: 10}\n";

Deck smallest() {
  Deck deck;
  deck.job = Job::train;
  deck.model.checkpoint = "m.h5";
  deck.data.file = "t.jsonl";
  deck.train.steps = 10;
  return deck;
}

TEST(TrainingDeck, WhatIsNotGivenHasItsDefault) { EXPECT_EQ(parse(kSmallest), smallest()); }

// Each section on a line, with comments, as in decks people write.
TEST(TrainingDeck, SectionsMayStandOnOneLine) {
  Deck expected = smallest();
  expected.model.dtype = ComputeDType::float32;
  expected.optimizer.learning_rate = 1e-3;
  expected.train.global_batch = 4;
  expected.schedule.warmup_steps = 3;
  expected.lora.rank = 8;
  expected.lora.alpha = 32.0;
  expected.lora.targets = {"q_proj", "v_proj", "experts"};
  expected.checkpoint = {"run", 100, 3, ExportWhen::final};
  expected.validation = {"v.jsonl", 50, std::nullopt};
  expected.output.file = "metrics.jsonl";
  expected.output.report = "run.html";
  EXPECT_EQ(parse(R"(job: train
model:      {checkpoint: m.h5, dtype: float32}        # or config: config.json (initialize_weights)
data:       {file: t.jsonl, sequence_length: 4096, packing: true, shuffle: true, seed: 0}   # packing false: one each
train:      {steps: 10, epochs: null, global_batch: 4, micro_batch: 1, max_grad_norm: 1.0, recompute: auto}   # order
optimizer:  {name: adamw, learning_rate: 1.0e-3, betas: [0.9, 0.95], eps: 1.0e-8, weight_decay: 0.1}
schedule:   {name: cosine, warmup_steps: 3, min_ratio: 0.1}
lora:       {rank: 8, alpha: 32, dropout: 0, targets: [q_proj, v_proj, experts], adapter: null}   # adapter: a folder
checkpoint: {folder: run, every: 100, keep: 3, export: final}       # export: never | final | every
validation: {file: v.jsonl, every: 50, expect: null}
restore:    {from: latest, what: all}
output:     {file: metrics.jsonl, report: run.html}
)"),
            expected);
}

TEST(TrainingDeck, EveryKeyIsRead) {
  Deck expected = smallest();
  expected.data = {"",  {"a.jsonl", "b.h5"},  {1.0, 0.25},     128,           false, false,
                   7,   TooLong::split,       OnBadLine::skip, TrainOn::last, false, HistoryThinking::expand,
                   0.1, {"completion=answer"}};
  expected.train = {std::nullopt, 2, 8, 3, std::nullopt, Recompute::block, 5, {"*.gate.weight"}};
  expected.optimizer = {OptimizerName::sgd,       1.0, {0.0, 0.0}, 1.0, 0.5, 0.01, MomentsDType::bfloat16,
                        {"*norm* lr=0.5 decay=0"}};
  expected.schedule = {ScheduleName::wsd, 2, 0.0, 4, DecayShape::minus_sqrt};
  expected.lora = {4, 8.5, {"o_proj"}, 0.05, "adapter"};
  expected.checkpoint = {"run", 10, 1, ExportWhen::every};
  expected.validation = {"v.jsonl", 5, std::vector<double>{1.5, 2.5}};
  expected.restore = {"run/step-7.h5", RestoreWhat::model, true};
  EXPECT_EQ(parse(R"(
job: train
model: {checkpoint: m.h5}
data:
  files: [a.jsonl, b.h5]
  weights: [1, 0.25]
  sequence_length: 128
  packing: false
  shuffle: false
  seed: 7
  too_long: split
  on_bad_line: skip
  train_on: last
  train_on_thinking: false
  history_thinking: expand
  holdout_fraction: 0.1
  columns: [completion=answer]
train: {epochs: 2, global_batch: 8, micro_batch: 3, max_grad_norm: null, recompute: block, max_skipped_steps: 5,
        freeze: ["*.gate.weight"]}
optimizer: {name: sgd, learning_rate: 1, betas: [0, 0], eps: 1, momentum: 0.5, weight_decay: 0.01, moments: bfloat16,
            groups: ["*norm* lr=0.5 decay=0"]}
schedule: {name: wsd, warmup_steps: 2, min_ratio: 0, decay_steps: 4, decay: minus_sqrt}
lora: {rank: 4, alpha: 8.5, targets: [o_proj], dropout: 0.05, adapter: adapter}
checkpoint: {folder: run, every: 10, keep: 1, export: every}
validation: {file: v.jsonl, every: 5, expect: [1.5, 2.5]}
restore: {from: run/step-7.h5, what: model, override: true}
)"),
            expected);
}

TEST(TrainingDeck, HasTheKeysOfEveryJob) {
  Deck expected = smallest();
  expected.memory.limit_gib = 2.0;
  expected.parallel.expert = 1;
  expected.io.read_mib = 8;
  expected.backend.linear = GemmProvider::kokkos;
  expected.moe_overrides = {{"aux_loss_coeff", "0.01"}, {"gate_bias_update_factor", "0.002"}, {"train_gate", "false"}};
  EXPECT_EQ(parse(std::string(kSmallest) +
                  "memory: {limit_gib: 2}\nparallel: {expert: 1}\nio: {read_mib: 8}\nbackend: {linear: kokkos}\n"
                  "moe: {aux_loss_coeff: 0.01, gate_bias_update_factor: 0.002, train_gate: false}\n"),
            expected);
}

TEST(TrainingDeck, OverridesReplaceWhatTheFileSays) {
  Deck expected = smallest();
  expected.data.file = "";
  expected.data.files = {"a", "b"};
  expected.train.steps.reset();
  expected.train.epochs = 1;
  expected.optimizer.betas = {0.0, 0.5};
  EXPECT_EQ(parse(kSmallest, {"data.file=null", "data.files=[a, b]", "train.steps=null", "train.epochs=1",
                              "optimizer.betas=[0, 0.5]"}),
            expected);
}

TEST(TrainingDeck, KeysOfOtherJobsAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"batch: {max_tokens: 1}", "deck.yaml:5: key 'batch.max_tokens' belongs to job 'generate'"},
      {"output: {resume: true}", "deck.yaml:5: key 'output.resume' belongs to job 'generate'"},
      {"bench: {batch: 1}", "deck.yaml:5: key 'bench.batch' belongs to job 'bench'"},
      {"trian: {steps: 1}", "deck.yaml:5: unknown key 'trian.steps'; did you mean 'train.steps'?"},
  };
  for (const auto& [line, message] : cases) {
    EXPECT_THAT(message_of(std::string(kSmallest) + line + "\n"), HasSubstr(message));
  }
  EXPECT_EQ(message_of("job: score\nmodel: {checkpoint: m.h5}\ndata: {file: d.jsonl, seed: 1}\n"),
            "deck.yaml:3: key 'data.seed' belongs to job 'train', this deck's job is 'score'");
}

TEST(TrainingDeck, WrongValuesAreRefused) {
  const std::string betas = "optimizer.betas: expected a list of two numbers from 0 to below 1, found ";
  const std::string expect = "validation.expect: expected a list of two ascending numbers from 0 to 1000000, found ";
  const std::pair<const char*, std::string> cases[] = {
      {"optimizer: {betas: [0.9]}", betas + "a list"},
      {"optimizer: {betas: [0.9, 1]}", betas + "a list"},
      {"optimizer: {betas: [0.9, 0.95, 0.5]}", betas + "a list"},
      {"optimizer: {betas: [-0.1, 0.9]}", betas + "a list"},
      {"optimizer: {betas: 0.9}", betas + "'0.9'"},
      {"optimizer: {momentum: 1}", "optimizer.momentum: expected a number from 0 to below 1, found '1'"},
      {"optimizer: {learning_rate: -1}", "optimizer.learning_rate: expected a number from 0 to 100, found '-1'"},
      {"optimizer: {name: lion}", "optimizer.name: expected one of adamw, sgd, found 'lion'"},
      {"validation: {file: v, expect: [2, 1]}", expect + "a list"},
      {"validation: {file: v, expect: [2, 2]}", expect + "a list"},
      {"validation: {file: v, expect: 2}", expect + "'2'"},
      {"lora: {rank: 0, targets: [q_proj]}", "lora.rank: expected a whole number from 1 to 65536, found '0'"},
      {"lora: {rank: 1, targets: [q_proj], dropout: 1}",
       "lora.dropout: expected a number from 0 to below 1, found '1'"},
      {"checkpoint: {folder: a, export: always}",
       "checkpoint.export: expected one of never, final, every, found 'always'"},
      {"restore: {from: null}", "restore.from: expected a text that is not empty, found nothing"},
      {"schedule: {min_ratio: 1.5}", "schedule.min_ratio: expected a number from 0 to 1, found '1.5'"},
  };
  for (const auto& [line, message] : cases) {
    EXPECT_EQ(message_of(std::string(kSmallest) + line + "\n"), "deck.yaml:5: " + message);
  }
}

TEST(TrainingDeck, WrongSizesOfDataAndStepsAreRefused) {
  const std::pair<const char*, const char*> cases[] = {
      {"data.sequence_length=1", "data.sequence_length: expected a whole number from 2 to 1048576, found '1'"},
      {"data.sequence_length=1048577",
       "data.sequence_length: expected a whole number from 2 to 1048576, found '1048577'"},
      {"data.holdout_fraction=0.6", "data.holdout_fraction: expected a number from 0 to 0.5, found '0.6'"},
      {"data.weights=[0]", "data.weights: expected a list of numbers from 1e-06 to 1000000, found a list"},
      {"train.steps=0", "train.steps: expected a whole number from 1 to 1000000000000, found '0'"},
      {"train.micro_batch=0", "train.micro_batch: expected a whole number from 1 to 1048576, found '0'"},
      {"train.max_grad_norm=0", "train.max_grad_norm: expected a number from 1e-06 to 1000000, found '0'"},
      {"train.recompute=all", "train.recompute: expected one of auto, none, selective, block, found 'all'"},
  };
  for (const auto& [key, message] : cases) {
    EXPECT_EQ(message_of(kSmallest, {key}), std::string("command line: ") + message);
  }
}

TEST(TrainingDeck, ThePrintedDeckParsesToTheDefaults) {
  Deck expected;
  expected.job = Job::train;
  expected.model.checkpoint = "model.h5";
  expected.data.file = "train.jsonl";
  expected.train.steps = 1000;
  expected.checkpoint.folder = "run";
  expected.output.file = "metrics.jsonl";
  EXPECT_EQ(parse(print_deck(Job::train)), expected);
}

TEST(TrainingDeck, ThePrintedDeckShowsEveryKeyOnce) {
  const std::string text = print_deck(Job::train);
  for (const char* section : {"model", "data", "train", "optimizer", "schedule", "lora", "checkpoint", "validation",
                              "restore", "memory", "output", "parallel", "io", "backend", "moe"}) {
    const std::string line = std::string("\n") + section + ":\n";
    EXPECT_NE(text.find(line), std::string::npos) << section;
    EXPECT_EQ(text.find(line), text.rfind(line)) << section;
  }
  EXPECT_THAT(text, HasSubstr("  # Default null; a text that is not empty.\n  file: train.jsonl\n"));
  EXPECT_THAT(text, HasSubstr("  # Default [0.9, 0.95]; a list of two numbers from 0 to below 1.\n"));
  EXPECT_THAT(text, Not(HasSubstr("batch:\n  # Tokens in one")));
}

TEST(TrainingDeck, ThePathsAreThoseItReadsAndWrites) {
  Deck deck = smallest();
  deck.data.file = "";
  deck.data.files = {"a.jsonl", "b.jsonl"};
  deck.lora.adapter = "adapter";
  deck.checkpoint.folder = "run";
  deck.output.report = "run.html";
  const auto paths_of = [](const Deck& asked) {
    std::string paths;
    for (const PathRole& role : deck_paths(asked)) {
      paths += role.key + " " + role.path + (role.use == PathUse::read ? " read\n" : " write\n");
    }
    return paths;
  };
  const std::string inputs =
      "model.checkpoint m.h5 read\ndata.files a.jsonl read\ndata.files b.jsonl read\nlora.adapter adapter read\n"
      "checkpoint.folder run write\n";
  EXPECT_EQ(paths_of(deck), inputs + "output.report run.html write\n");
  deck.restore.from = "none";
  EXPECT_EQ(paths_of(deck), inputs + "output.report run.html write\n");
  deck.restore.from = "run/step-7.h5";
  EXPECT_EQ(paths_of(deck), inputs + "restore.from run/step-7.h5 read\noutput.report run.html write\n");
}

}  // namespace
}  // namespace m2
