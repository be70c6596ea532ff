// SPDX-License-Identifier: Apache-2.0
#include "jobs/job_model.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "checkpoint/formats/open_checkpoint.hpp"
#include "config/describe_model.hpp"
#include "io/file.hpp"
#include "parallel/mesh.hpp"
#include "text/chat_template.hpp"

namespace m2 {
namespace {

ModelOptions model_options(const Deck& deck, const MiniMaxM2Config& config, Communicator& world) {
  ModelOptions options;
  options.expert_parallel = make_expert_parallel(deck, config, world);
  options.backend = deck.backend;
  options.moe_overrides = deck.moe_overrides;
  if (deck.model.dtype == ComputeDType::float32) options.dtype = DType::float32;
  if (deck.model.dtype == ComputeDType::bfloat16) options.dtype = DType::bfloat16;
  return options;
}

LoadOptions load_options(const IoSection& io, Communicator& world) {
  LoadOptions options;
  if (world.size() > 1) options.world = &world;
  if (io.shared_reads != Switch::automatic) options.shared_reads = io.shared_reads == Switch::on;
  options.read_bytes = std::size_t(io.read_mib) << 20;
  return options;
}

std::unique_ptr<TensorSource> open_source(const Deck& deck, const LoadOptions& options) {
  return deck.model.checkpoint ? open_checkpoint(*deck.model.checkpoint, options.world) : nullptr;
}

MiniMaxM2ForCausalLM make_model(const Deck& deck, const TensorSource* source, Communicator& world) {
  const MiniMaxM2Config config =
      source ? source->config() : MiniMaxM2Config::from_json(read_text_file(*deck.model.config), *deck.model.config);
  return MiniMaxM2ForCausalLM(config, model_options(deck, config, world));
}

}  // namespace

JobModel::JobModel(const Deck& deck, Communicator& world)
    : world_(world),
      load_options_(load_options(deck.io, world)),
      source_(open_source(deck, load_options_)),
      checkpoint_(deck.model.checkpoint.value_or(deck.model.config.value_or(""))),
      model_(make_model(deck, source_.get(), world)),
      seed_(std::uint64_t(deck.data.seed)) {
  if (deck.output.expert_load) model_.model.count_expert_load(model_.exec());
  for (Parameter& parameter : model_.base_parameters()) {
    const DType dtype = source_ ? source_->find(parameter.name())->dtype : model_.weight_dtype();
    parameter.set_dtype(held_dtype(parameter.schema, dtype, model_.dtype()));
  }
  if (const auto json = text(kTokenizerFile)) {
    tokenizer_.emplace(Tokenizer::from_json(*json, place(kTokenizerFile)));
  }
  LoraSection lora = deck.lora;
  if (deck.job != Job::train) lora.adapter = deck.model.adapter;
  lora_ = apply_lora(model_, lora);
}

std::optional<std::string> JobModel::text(const TextFile& file) const {
  if (source_) return source_->text(file);
  const std::filesystem::path beside = std::filesystem::path(checkpoint_).replace_filename(file.file_name);
  return std::filesystem::is_regular_file(beside) ? std::optional(read_text_file(beside.string())) : std::nullopt;
}

// The name of a file that travels inside the checkpoint or lies beside the configuration, for messages.
std::string JobModel::place(const TextFile& file) const { return fmt::format("{}: {}", checkpoint_, file.file_name); }

Texts JobModel::texts() const {
  Texts texts;
  for (const TextFile& file : kTextFiles) {
    if (file.file_name == kConfigFile.file_name) continue;
    if (const auto content = text(file)) texts.emplace_back(file, *content);
  }
  return texts;
}

GenerationDefaults JobModel::generation_defaults() const {
  const auto json = text(kGenerationConfigFile);
  return json ? GenerationDefaults::from_json(*json, place(kGenerationConfigFile)) : GenerationDefaults{};
}

PromptContext JobModel::prompt_context() const {
  return {.config = model_.config(),
          .tokenizer = tokenizer(),
          .default_system_prompt = default_system_prompt(text(kChatTemplateFile).value_or(""))};
}

void JobModel::load() {
  if (world_.rank() == 0) fmt::print(stderr, "m2: {}\n", describe_model(model_.config()));
  if (world_.rank() == 0 && model_.config().ignored_mtp) {
    fmt::print(stderr,
               "m2: the configuration's keys of multi-token prediction are ignored: released checkpoints have "
               "no tensors for it\n");
  }
  if (!source_) {
    if (world_.rank() == 0) fmt::print(stderr, "m2: random weights in place of a checkpoint: the text is nonsense\n");
    model_.initialize_weights(model_.weight_dtype(), /*seed=*/0);
  } else {
    std::vector<Parameter> parameters = model_.base_parameters();
    load_parameters(*source_, parameters, model_.exec(), model_.dtype(), load_options_);
  }
  if (!lora_) return;
  if (world_.rank() == 0) fmt::print(stderr, "m2: {}\n", lora_->summary());
  lora_->load(model_, seed_);
}

}  // namespace m2
