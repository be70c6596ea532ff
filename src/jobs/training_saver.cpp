// SPDX-License-Identifier: Apache-2.0
#include "jobs/training_saver.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "checkpoint/convert/convert.hpp"
#include "checkpoint/formats/open_checkpoint.hpp"
#include "checkpoint/formats/peft_adapter.hpp"
#include "core/byte_size.hpp"
#include "core/error.hpp"
#include "core/memory.hpp"
#include "jobs/checkpoint_scores.hpp"
#include "jobs/memory_plan.hpp"
#include "train/adapter_state.hpp"

namespace m2 {

TrainingSaver::TrainingSaver(const Deck& deck, MiniMaxM2ForCausalLM& model, Optimizer& optimizer, Texts texts)
    : section_(deck.checkpoint),
      memory_(deck.memory),
      model_(model),
      optimizer_(optimizer),
      state_{.config = model.config(),
             .parameters = model.base_parameters(),
             .optimizer = optimizer.state(),
             .trainer = {},
             .texts = std::move(texts)},
      base_model_(deck.model.checkpoint.value_or("")) {
  for (const StateTensor& tensor : adapter_state(model)) state_.optimizer.push_back(tensor);
  if (!section_.folder) return;
  CheckpointFolder folder(*section_.folder);
  for (const std::string& path : folder.prepare()) {
    fmt::print(stderr, "m2: removed {}, which a run that was killed had not finished\n", path);
  }
  writer_.emplace(std::move(folder), section_.keep);
  optimizer_.set_before_update([this, places = trained_places()](std::size_t i) { writer_->wait_for(places[i]); });
}

std::vector<std::size_t> TrainingSaver::trained_places() const {
  std::vector<std::size_t> places;
  for (const TrainedParameter& trained : optimizer_.parameters()) {
    std::string name = trained.schema.name;
    if (trained.schema.kind == ParameterKind::adapter) name.resize(name.rfind('/'));
    const auto found = std::ranges::find(state_.parameters, name, &Parameter::name);
    places.push_back(std::size_t(found - state_.parameters.begin()));
  }
  return places;
}

TrainingSaver::~TrainingSaver() {
  optimizer_.set_before_update([](std::size_t) {});
}

void TrainingSaver::save(std::int64_t step, std::string trainer_json, bool is_best, bool is_last) {
  if (!writer_ || saved_step_ == step) return;
  saved_step_ = step;
  state_.trainer.json = std::move(trainer_json);
  tell(writer_->save(step, state_, model_.exec(), is_best));
  const bool exports =
      section_.export_when == ExportWhen::every || (is_last && section_.export_when == ExportWhen::final);
  if (!exports) return;
  tell(writer_->wait());
  export_step(step);
}

void TrainingSaver::score_last(const TrainingSequences& sequences) {
  if (!writer_ || !saved_step_ || !adapter_state(model_).empty()) return;  // adapters are no part of /model
  const std::optional<SaveResult> result = writer_->wait();
  tell(result);
  if (result && !result->error.empty()) return;
  std::int64_t free_bytes = usable_bytes({}, /*ranks_on_host=*/1).value_or(0);
  if (memory_.limit_gib) {
    const auto limit_bytes = std::int64_t(*memory_.limit_gib * double(1 << 30));
    free_bytes = std::min(free_bytes, limit_bytes - resident_memory().now_bytes);
  }
  const std::string file = CheckpointFolder(*section_.folder).file(*saved_step_);
  if (require_same_scores(file, model_, sequences, free_bytes)) return;
  fmt::print(stderr, "m2: {} was not scored beside the model: the memory is too small for both\n", file);
}

void TrainingSaver::finish() {
  if (writer_) tell(writer_->wait());
}

void TrainingSaver::tell(const std::optional<SaveResult>& result) {
  if (!result) return;
  if (!result->error.empty()) {
    fmt::print(stderr, "m2: step {} was not saved: {}\n", result->step, result->error);
  } else if (!result->was_there) {
    fmt::print(stderr, "m2: saved {}, {} in {:.1f} s\n", result->path, byte_size_text(result->bytes),
               result->write_seconds);
  }
}

// Beside the checkpoint: "run/step-20-hf", or of adapters alone "run/step-20-peft". An earlier export of the step, by a
// run that was killed afterwards, is replaced: it may be incomplete.
void TrainingSaver::export_step(std::int64_t step) {
  const std::string file = CheckpointFolder(*section_.folder).file(step);
  const bool has_adapters = !model_.adapters().empty();
  const std::string folder =
      std::filesystem::path(file).replace_extension("").string() + (has_adapters ? "-peft" : "-hf");
  try {
    std::filesystem::remove_all(folder);
    if (has_adapters) {
      write_adapter(model_, folder, base_model_);
    } else {
      export_checkpoint(*open_checkpoint(file), folder, DTypeChoice::keep, kDefaultShardBytes);
    }
    fmt::print(stderr, "m2: exported {}\n", folder);
  } catch (const Error& error) {
    fmt::print(stderr, "m2: step {} was not exported: {}\n", step, error.what());
  } catch (const std::filesystem::filesystem_error& error) {
    fmt::print(stderr, "m2: step {} was not exported: {}\n", step, error.what());
  }
}

}  // namespace m2
