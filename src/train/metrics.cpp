// SPDX-License-Identifier: Apache-2.0
#include "train/metrics.hpp"

#include <filesystem>
#include <span>

#include "core/error.hpp"
#include "core/memory.hpp"
#include "io/file.hpp"
#include "train/expert_spread.hpp"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

Json load_lines(const ExpertLoad& load) {
  Json layers = Json::array();
  for (const std::vector<std::int64_t>& layer : load) {
    const ExpertSpread spread = expert_spread(layer);
    layers.push_back({{"cv", spread.cv},
                      {"p50", spread.p50},
                      {"p95", spread.p95},
                      {"dead_fraction", spread.dead_fraction},
                      {"entropy", spread.entropy}});
  }
  return layers;
}

// The lines of an earlier process up to `last_step`.
std::vector<Json> kept_lines(const std::string& path, std::int64_t last_step) {
  std::vector<Json> lines;
  JsonLinesReader reader(path);
  while (const auto value = reader.next()) {
    M2_REQUIRE(value->is_object() && value->contains("step") && value->at("step").is_number_integer(),
               "{}: no line of a training run: expected an object with a whole number under \"step\"; choose another "
               "output.file",
               reader.where());
    if (value->at("step").get<std::int64_t>() <= last_step) lines.push_back(Json::parse(reader.line()));
  }
  return lines;
}

}  // namespace

Json step_line(const StepContext& context, const StepReport& report) {
  const double tokens_per_second = double(report.num_tokens) / context.seconds;
  Json line{{"step", context.step},
            {"loss", report.loss},
            {"grad_norm", report.grad_norm},
            {"learning_rate", report.learning_rate},
            {"label_tokens", report.num_labels},
            {"tokens", report.num_tokens},
            {"tokens_per_second", tokens_per_second},
            {"flop_utilisation", nullptr},
            {"memory_bytes", resident_memory().now_bytes},
            {"epoch", context.epoch},
            {"skipped", report.is_skipped},
            {"updates_lost", report.updates_lost},
            {"auxiliary_loss", report.auxiliary_loss}};
  if (context.peak_flop_per_second) {
    line["flop_utilisation"] = context.flop / context.seconds / *context.peak_flop_per_second;
  }
  line["seconds"] = {{"step", context.seconds},
                     {"data", context.data_seconds},
                     {"forward", report.forward_seconds},
                     {"backward", report.backward_seconds},
                     {"optimizer", report.optimizer_seconds}};
  line["expert_load"] = load_lines(report.expert_load);
  line["sample_hash"] = context.sample_hash;
  return line;
}

Json validation_line(std::int64_t step, const TrainingLoss& loss, double seconds) {
  return {{"step", step},
          {"validation_loss", loss.num_labels > 0 ? loss.nll / double(loss.num_labels) : 0.0},
          {"label_tokens", loss.num_labels},
          {"seconds", {{"validation", seconds}}}};
}

Metrics::Metrics(const std::optional<std::string>& file, std::int64_t last_step) {
  if (!file) return;
  if (last_step > 0 && std::filesystem::exists(*file)) lines_ = kept_lines(*file, last_step);
  std::string text;
  for (const Json& line : lines_) text += line.dump() + "\n";
  if (!lines_.empty()) {  // in one go: a run that is killed here loses no line
    PendingFile pending(*file);
    pending.file().write_at(0, std::as_bytes(std::span(text)));
    pending.publish();
    file_ = JsonLinesWriter::resume(*file, [](const nlohmann::json&) {});
  } else {
    file_.emplace(*file);
  }
}

void Metrics::write(const Json& line) {
  lines_.push_back(line);
  if (file_) file_->write(line.dump());
}

}  // namespace m2
