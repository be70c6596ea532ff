// SPDX-License-Identifier: Apache-2.0
#include "jobs/training_plan.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "config/describe_model.hpp"
#include "core/byte_size.hpp"
#include "core/error.hpp"
#include "core/plural.hpp"
#include "jobs/memory_plan.hpp"
#include "train/optimizer.hpp"

namespace m2 {
namespace {

std::string size_text(std::int64_t bytes) { return byte_size_text(std::uint64_t(bytes)); }

// Documents that a full micro-batch may have: each takes a page of the cache at least, so that more of them than pages
// would cost more than this counts.
int most_sequences(const Deck& deck) {
  return deck.data.packing ? deck.train.micro_batch * std::max(1, deck.data.sequence_length / kKvPage)
                           : deck.train.micro_batch;
}

// The layers from `first_saving` on save everything that `light` leaves out.
std::vector<Recompute> modes(int num_layers, int first_saving, Recompute light, Recompute full) {
  std::vector<Recompute> list(num_layers, light);
  std::fill(list.begin() + first_saving, list.end(), full);
  return list;
}

// As little recomputation as fits, layer by layer.
std::vector<Recompute> choose_recompute(const MiniMaxM2ForCausalLM& model, const TrainingPlan& plan) {
  const int num_layers = int(model.model.layers.size());
  const auto fits = [&](const std::vector<Recompute>& recompute) {
    if (!plan.available_bytes) return true;
    const std::int64_t pass_bytes = model.training_bytes(recompute, plan.max_tokens, plan.max_sequences);
    return plan.total_bytes() + pass_bytes <= *plan.available_bytes;
  };
  const auto first_that_fits = [&](Recompute light, Recompute full) -> std::optional<std::vector<Recompute>> {
    for (int first = 0; first <= num_layers; ++first) {
      const std::vector<Recompute> recompute = modes(num_layers, first, light, full);
      if (fits(recompute)) return recompute;
    }
    return std::nullopt;
  };
  if (const auto recompute = first_that_fits(Recompute::selective, Recompute::none)) return *recompute;
  if (const auto recompute = first_that_fits(Recompute::block, Recompute::selective)) return *recompute;
  return std::vector<Recompute>(num_layers, Recompute::block);
}

std::string recompute_text(const std::vector<Recompute>& recompute) {
  std::string text;
  for (const Recompute mode : {Recompute::none, Recompute::selective, Recompute::block}) {
    const auto count = std::ranges::count(recompute, mode);
    if (count == std::ssize(recompute)) return std::string(name(mode));
    if (count > 0) text += fmt::format("{}{} in {}", text.empty() ? "" : ", ", name(mode), counted(count, "layer"));
  }
  return text;
}

}  // namespace

TrainingPlan plan_training(JobModel& job, const Deck& deck, const std::vector<ParameterSchema>& trained) {
  MiniMaxM2ForCausalLM& model = job.model();
  TrainingPlan plan{.max_tokens = std::int64_t(deck.train.micro_batch) * deck.data.sequence_length,
                    .max_sequences = most_sequences(deck),
                    .available_bytes = usable_bytes(deck.memory, /*ranks_on_host=*/1)};
  for (const Parameter& parameter : model.parameters()) {
    const DType dtype = parameter.dtype();
    plan.weight_bytes += parameter.storage_bytes(dtype);
    const bool is_trained =
        std::ranges::any_of(trained, [&](const ParameterSchema& schema) { return schema.name == parameter.name(); });
    if (!is_trained) continue;
    const OptimizerBytes bytes = Optimizer::bytes(deck.optimizer, parameter.local_shape(), dtype);
    plan.master_bytes += bytes.masters;
    plan.moment_bytes += bytes.moments;
    plan.gradient_bytes += parameter.storage_bytes(DType::float32);
  }
  plan.checkpoint_bytes = plan.weight_bytes + plan.master_bytes + plan.moment_bytes;
  const std::size_t num_layers = model.model.layers.size();
  plan.recompute = deck.train.recompute == Recompute::automatic ? choose_recompute(model, plan)
                                                                : std::vector(num_layers, deck.train.recompute);
  plan.pass_bytes = model.training_bytes(plan.recompute, plan.max_tokens, plan.max_sequences);
  return plan;
}

void require_memory(const TrainingPlan& plan) {
  if (!plan.available_bytes) return;
  M2_REQUIRE(plan.total_bytes() <= *plan.available_bytes,
             "not enough memory: {} are needed (weights {}, gradients {}, masters {}, moments {}, a pass {}), {} are "
             "available\n  A pass shrinks with train.micro_batch, data.sequence_length and train.recompute: block; "
             "moments with optimizer.moments: bfloat16; gradients, masters and moments with train.freeze or lora.",
             size_text(plan.total_bytes()), size_text(plan.weight_bytes), size_text(plan.gradient_bytes),
             size_text(plan.master_bytes), size_text(plan.moment_bytes), size_text(plan.pass_bytes),
             size_text(*plan.available_bytes));
}

std::string plan_text(const TrainingPlan& plan, const Deck& deck, const JobModel& job, std::int64_t num_steps,
                      double step_flop, double flop_per_second) {
  const MiniMaxM2ForCausalLM& model = job.model();
  std::string text;
  const auto row = [&](std::string_view key, const std::string& value) {
    text += fmt::format("{:<12}{}\n", key, value);
  };
  const auto memory = [&](std::string_view key, std::int64_t bytes, const std::string& words) {
    row(key, fmt::format("{:>10}  {}", size_text(bytes), words));
  };
  row("job", fmt::format("train: {} of {} in passes of {}", counted(num_steps, "step"),
                         counted(deck.train.global_batch, "sequence"), deck.train.micro_batch));
  row("checkpoint", job.source() ? job.source()->path() : "none: random weights");
  row("model", describe_model(model.config()));
  row("compute",
      fmt::format("{} on {}, {} threads", name(model.dtype()), ExecSpace::name(), model.exec().concurrency()));
  row("saves", deck.checkpoint.folder
                   ? fmt::format("{} in {}", size_text(plan.checkpoint_bytes), *deck.checkpoint.folder)
                   : "nothing: checkpoint.folder is not set");
  memory("weights", plan.weight_bytes, "");
  memory("gradients", plan.gradient_bytes, "float32");
  memory("masters", plan.master_bytes, "float32, of weights that are held in another type");
  memory("moments", plan.moment_bytes, std::string(name(deck.optimizer.moments)));
  memory("a pass", plan.pass_bytes,
         fmt::format("of {} tokens, the worst case; recompute {}", plan.max_tokens, recompute_text(plan.recompute)));
  memory("total", plan.total_bytes(),
         plan.available_bytes ? "of " + size_text(*plan.available_bytes) + " available" : "");
  row("a step", fmt::format("{:.3g} TFLOP when its sequences are full; {:.3g} s at the measured peak, {:.3g} GFLOP/s",
                            step_flop * 1e-12, step_flop / flop_per_second, flop_per_second * 1e-9));
  return text;
}

}  // namespace m2
