// SPDX-License-Identifier: Apache-2.0
#include "config/training_rules.hpp"

#include <gtest/gtest.h>

#include "core/error.hpp"

namespace m2 {
namespace {

// Four lines.
constexpr const char* kSmallest = "job: train\nmodel: {checkpoint: m.h5}\ndata: {file: t.jsonl}\ntrain: {steps: 10}\n";

std::string message_of(const std::string& text, std::vector<std::string> overrides = {}) {
  try {
    parse_deck(text, "deck.yaml", overrides);
  } catch (const UsageError& e) {
    return e.what();
  }
  return "accepted";
}

struct Contradiction {
  std::vector<std::string> keys;
  const char* message;  // "accepted": it is none
};

void expect_messages(const std::vector<Contradiction>& cases) {
  for (const auto& [keys, message] : cases) EXPECT_EQ(message_of(kSmallest, keys), message) << keys.front();
}

TEST(TrainingRules, OneOfTwoKeysMustBeGiven) {
  expect_messages({
      {{"train.epochs=1"}, "command line: expected either 'train.steps' or 'train.epochs', found both"},
      {{"train.steps=null"}, "deck.yaml: expected either 'train.steps' or 'train.epochs', found neither"},
      {{"data.files=[a]"}, "command line: expected either 'data.file' or 'data.files', found both"},
      {{"data.file=null"}, "deck.yaml: expected either 'data.file' or 'data.files', found neither"},
      {{"data.file=null", "data.files=[]"}, "deck.yaml: expected either 'data.file' or 'data.files', found neither"},
      {{"model.config=c.json"}, "deck.yaml: expected either 'model.checkpoint' or 'model.config', found both"},
  });
}

TEST(TrainingRules, KeysMustFitOneAnother) {
  expect_messages({
      {{"data.weights=[1]"}, "command line: data.weights: found 1 number, expected as many as data.files has: 0"},
      {{"data.file=null", "data.files=[a, b]", "data.weights=[1, 2, 3]"},
       "command line: data.weights: found 3 numbers, expected as many as data.files has: 2"},
      {{"schedule.warmup_steps=10"},
       "command line: schedule.warmup_steps: found 10, expected fewer than train.steps: 10"},
      {{"schedule.warmup_steps=9"}, "accepted"},
      {{"schedule.warmup_steps=10", "train.steps=null", "train.epochs=1"}, "accepted"},
      {{"schedule.decay_steps=2"},
       "command line: schedule.decay_steps: found 2 with schedule.name cosine, expected null: only wsd has it"},
      {{"schedule.name=wsd", "schedule.decay_steps=8", "schedule.warmup_steps=3"},
       "command line: schedule.decay_steps: found 8, expected at most 7: train.steps without schedule.warmup_steps"},
      {{"schedule.name=wsd", "schedule.decay_steps=7", "schedule.warmup_steps=3"}, "accepted"},
      {{"train.global_batch=5", "train.micro_batch=3"}, "accepted"},
      {{"optimizer.name=adamw", "optimizer.momentum=0.5"}, "accepted"},
  });
}

TEST(TrainingRules, AdaptersNeedARankOrAnAdapter) {
  const std::string message = ": found without adapters, expected lora.rank or lora.adapter beside it";
  for (const std::string key : {"lora.alpha=8", "lora.targets=[q_proj]", "lora.dropout=0.1"}) {
    const std::string name = key.substr(0, key.find('='));
    EXPECT_EQ(message_of(kSmallest, {key}), "command line: " + name + message);
    EXPECT_EQ(message_of(kSmallest, {key, "lora.adapter=a"}), "accepted");
  }
  expect_messages({
      {{"lora.dropout=0"}, "accepted"},
      {{"lora.rank=8"},
       "command line: lora.rank: found 8 without lora.targets, expected which projections get adapters"},
      {{"lora.rank=8", "lora.adapter=a"}, "accepted"},
      {{"lora.rank=8", "lora.targets=[q_proj]"}, "accepted"},
  });
}

TEST(TrainingRules, SavesNeedAFolderAndValidationNeedsData) {
  const char* const nothing =
      "command line: validation.expect: found nothing to validate on, expected validation.file or "
      "data.holdout_fraction";
  expect_messages({
      {{"checkpoint.every=5"}, "command line: checkpoint.every: found 5 without 'checkpoint.folder', expected both"},
      {{"checkpoint.export=final"},
       "command line: checkpoint.export: found final without 'checkpoint.folder', expected both"},
      {{"checkpoint.every=5", "checkpoint.export=every", "checkpoint.folder=run"}, "accepted"},
      {{"checkpoint.keep=1"}, "accepted"},
      {{"validation.expect=[1, 2]"}, nothing},
      {{"validation.every=5"},
       "command line: validation.every: found nothing to validate on, expected validation.file or "
       "data.holdout_fraction"},
      {{"validation.expect=[1, 2]", "validation.every=5", "data.holdout_fraction=0.1"}, "accepted"},
      {{"validation.expect=[1, 2]", "validation.file=v.jsonl"}, "accepted"},
  });
}

TEST(TrainingRules, APlaceInTheFileIsNamed) {
  EXPECT_EQ(message_of(std::string(kSmallest) + "schedule:\n  min_ratio: 0\n  warmup_steps: 12\n"),
            "deck.yaml:7: schedule.warmup_steps: found 12, expected fewer than train.steps: 10");
}

}  // namespace
}  // namespace m2
