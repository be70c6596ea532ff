// SPDX-License-Identifier: Apache-2.0
#include "config/training_rules.hpp"

#include <fmt/format.h>

#include "core/error.hpp"
#include "core/plural.hpp"

namespace m2 {
namespace {

/// Says what is wrong with a deck, at the key that is wrong.
class Rules {
 public:
  Rules(const KeyPlaces& places, const std::string& source) : places_(places), source_(source) {}

  template <class... Args>
  void require(bool holds, const char* key, fmt::format_string<Args...> format, Args&&... args) const {
    if (holds) return;
    const auto place = places_.find(key);
    raise_usage("{}: {}: {}", place == places_.end() ? source_ : place->second, key,
                fmt::format(format, std::forward<Args>(args)...));
  }

  void require_either(const char* key, bool has_key, const char* other, bool has_other) const {
    if (has_key != has_other) return;
    const auto place = has_other ? places_.find(other) : places_.end();
    raise_usage("{}: expected either '{}' or '{}', found {}", place == places_.end() ? source_ : place->second, key,
                other, has_other ? "both" : "neither");
  }

 private:
  const KeyPlaces& places_;
  const std::string& source_;
};

void require_data(const DataSection& data, const Rules& rules) {
  rules.require_either("data.file", !data.file.empty(), "data.files", !data.files.empty());
  rules.require(data.weights.empty() || data.weights.size() == data.files.size(), "data.weights",
                "found {}, expected as many as data.files has: {}", counted(std::ssize(data.weights), "number"),
                data.files.size());
}

void require_schedule(const ScheduleSection& schedule, std::optional<std::int64_t> steps, const Rules& rules) {
  rules.require(!schedule.decay_steps || schedule.name == ScheduleName::wsd, "schedule.decay_steps",
                "found {} with schedule.name {}, expected null: only wsd has it", schedule.decay_steps.value_or(0),
                name(schedule.name));
  if (!steps) return;
  rules.require(schedule.warmup_steps < *steps, "schedule.warmup_steps",
                "found {}, expected fewer than train.steps: {}", schedule.warmup_steps, *steps);
  const std::int64_t most = *steps - schedule.warmup_steps, decay_steps = schedule.decay_steps.value_or(0);
  rules.require(decay_steps <= most, "schedule.decay_steps",
                "found {}, expected at most {}: train.steps without schedule.warmup_steps", decay_steps, most);
}

void require_lora(const LoraSection& lora, const Rules& rules) {
  const bool has_targets = !lora.targets.empty();
  if (lora.adapter) return;
  if (lora.rank) {
    rules.require(has_targets, "lora.rank", "found {} without lora.targets, expected which projections get adapters",
                  *lora.rank);
    return;
  }
  constexpr const char* kMessage = "found without adapters, expected lora.rank or lora.adapter beside it";
  rules.require(!lora.alpha, "lora.alpha", kMessage);
  rules.require(!has_targets, "lora.targets", kMessage);
  rules.require(lora.dropout == 0.0, "lora.dropout", kMessage);
}

void require_checkpoint(const CheckpointSection& checkpoint, const Rules& rules) {
  if (checkpoint.folder) return;
  rules.require(!checkpoint.every, "checkpoint.every", "found {} without 'checkpoint.folder', expected both",
                checkpoint.every.value_or(0));
  rules.require(checkpoint.export_when == ExportWhen::never, "checkpoint.export",
                "found {} without 'checkpoint.folder', expected both", name(checkpoint.export_when));
}

void require_validation(const ValidationSection& validation, double holdout_fraction, const Rules& rules) {
  if (validation.file || holdout_fraction > 0.0) return;
  constexpr const char* kMessage = "found nothing to validate on, expected validation.file or data.holdout_fraction";
  rules.require(!validation.every, "validation.every", kMessage);
  rules.require(!validation.expect, "validation.expect", kMessage);
}

}  // namespace

void require_training_rules(const Deck& deck, const KeyPlaces& places, const std::string& source) {
  const Rules rules(places, source);
  rules.require_either("train.steps", deck.train.steps.has_value(), "train.epochs", deck.train.epochs.has_value());
  require_data(deck.data, rules);
  require_schedule(deck.schedule, deck.train.steps, rules);
  require_lora(deck.lora, rules);
  require_checkpoint(deck.checkpoint, rules);
  require_validation(deck.validation, deck.data.holdout_fraction, rules);
}

}  // namespace m2
