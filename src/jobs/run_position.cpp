// SPDX-License-Identifier: Apache-2.0
#include "jobs/run_position.hpp"

#include <fmt/format.h>

#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.hpp"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

// What the steps of a run depend on.
constexpr std::array<std::string_view, 10> kSteering{"lora.",
                                                     "moe.",
                                                     "data.",
                                                     "optimizer.",
                                                     "schedule.",
                                                     "train.steps",
                                                     "train.epochs",
                                                     "train.global_batch",
                                                     "train.max_grad_norm",
                                                     "train.freeze"};

// The lines "key: value" of a deck that steer its steps.
std::map<std::string, std::string> steering_lines(const std::string& deck) {
  std::map<std::string, std::string> lines;
  std::istringstream stream(deck);
  for (std::string line; std::getline(stream, line);) {
    const std::size_t colon = line.find(": ");
    const bool steers = std::ranges::any_of(kSteering, [&](std::string_view key) { return line.starts_with(key); });
    const bool is_path = line.starts_with("data.file");  // what the files hold has a fingerprint
    if (steers && !is_path && colon != std::string::npos) lines[line.substr(0, colon)] = line.substr(colon + 2);
  }
  return lines;
}

}  // namespace

std::string position_json(const RunPosition& position, const Deck& deck, std::uint64_t data_fingerprint) {
  Json json{{"step", position.step},
            {"epoch", position.data.epoch},
            {"sequence", position.data.sequence},
            {"updates", position.trainer.updates},
            {"skipped", position.trainer.num_skipped},
            {"skipped_in_a_row", position.trainer.skipped_in_a_row},
            {"validated_step", position.validated_step},
            {"best_validation", nullptr},
            {"best_step", nullptr},
            {"data_fingerprint", data_fingerprint},
            {"deck", deck_text(deck)}};
  if (position.best_validation) json["best_validation"] = *position.best_validation;
  if (position.best_step) json["best_step"] = *position.best_step;
  return json.dump(1);
}

RunPosition read_position(const std::string& text, const std::string& file) {
  try {
    const Json json = Json::parse(text);
    RunPosition position{.step = json.at("step").get<std::int64_t>(),
                         .data = {json.at("epoch").get<std::int64_t>(), json.at("sequence").get<std::int64_t>()},
                         .trainer = {json.at("updates").get<std::int64_t>(), json.at("skipped").get<std::int64_t>(),
                                     json.at("skipped_in_a_row").get<int>()},
                         .validated_step = json.at("validated_step").get<std::int64_t>()};
    if (!json.at("best_validation").is_null()) position.best_validation = json.at("best_validation").get<double>();
    if (!json.at("best_step").is_null()) position.best_step = json.at("best_step").get<std::int64_t>();
    return position;
  } catch (const Json::exception& e) {
    raise("{}: /trainer is not what a training job of this version writes: {}", file, e.what());
  }
}

void require_same_run(const Deck& deck, std::uint64_t data_fingerprint, const std::string& text,
                      const std::string& file) {
  const Json json = Json::parse(text);
  std::map<std::string, std::string> before = steering_lines(json.at("deck").get<std::string>());
  std::map<std::string, std::string> now = steering_lines(deck_text(deck));
  for (const auto& [key, value] : before) now.try_emplace(key, "not set");
  std::string differences;
  for (const auto& [key, value] : now) {
    const std::string& saved = before.try_emplace(key, "not set").first->second;
    if (saved != value) differences += fmt::format("\n  {}: {} now, {} when it was saved", key, value, saved);
  }
  if (differences.empty() && json.at("data_fingerprint").get<std::uint64_t>() != data_fingerprint) {
    differences = "\n  the documents of data.file: other contents than when it was saved";
  }
  M2_REQUIRE(
      differences.empty(),
      "{}: this run would not do the steps that the saved one would have done:{}\n  Give the old values, another "
      "checkpoint.folder, or restore.override: true to go on all the same.",
      file, differences);
}

}  // namespace m2
