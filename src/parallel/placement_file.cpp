// SPDX-License-Identifier: Apache-2.0
#include "parallel/placement_file.hpp"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.hpp"
#include "core/print.hpp"
#include "io/file.hpp"
#include "parallel/expert_balance.hpp"

namespace m2 {
namespace {

nlohmann::json read_json(const std::string& path, const char* expected) {
  std::string text;
  try {
    text = read_text_file(path);
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
  nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) raise_usage("'{}': not JSON; expected {}", path, expected);
  return json;
}

constexpr const char* kLoadForm = "the file that a job writes with output.expert_load";
constexpr const char* kPlacementForm = "the output of m2 --make-placement";

}  // namespace

void write_expert_load(const std::string& path, const ExpertLoad& load) {
  write_text_file_atomically(path, nlohmann::json{{"tokens", load}}.dump() + "\n");
}

ExpertLoad read_expert_load(const std::string& path) {
  const nlohmann::json json = read_json(path, kLoadForm);
  const auto require = [&](bool is_right, const std::string& place) {
    if (!is_right) raise_usage("'{}': {}; expected {}", path, place, kLoadForm);
  };
  require(json.is_object() && json.contains("tokens") && json["tokens"].is_array() && !json["tokens"].empty(),
          "no list 'tokens'");
  ExpertLoad load;
  for (const nlohmann::json& layer : json["tokens"]) {
    const std::string place = fmt::format("layer {}", load.size());
    require(layer.is_array() && !layer.empty() && layer.size() == json["tokens"][0].size(),
            place + " is not a list as long as the first");
    for (const nlohmann::json& count : layer)
      require(count.is_number_unsigned(), place + " holds what is no number from 0 on");
    load.push_back(layer.get<std::vector<std::int64_t>>());
  }
  return load;
}

std::string placement_text(const ExpertPlacement& placement, int num_layers) {
  std::ostringstream text;
  text << "{\"ranks\": " << placement.num_ranks() << ", \"layers\": [";
  for (int layer = 0; layer < num_layers; ++layer) {
    text << (layer == 0 ? "\n" : ",\n") << nlohmann::json(placement.ranks_of(layer)).dump();
  }
  text << "\n]}\n";
  return text.str();
}

ExpertPlacement read_placement(const std::string& path, int num_layers, int num_experts, int num_ranks) {
  const nlohmann::json json = read_json(path, kPlacementForm);
  if (!json.is_object() || !json.contains("ranks") || !json.contains("layers")) {
    raise_usage("'{}': 'ranks' or 'layers' is missing; expected {}", path, kPlacementForm);
  }
  if (json["ranks"] != num_ranks) {
    raise_usage("'{}': made for {} ranks, and parallel.expert is {}; make one for {}", path, json["ranks"].dump(),
                num_ranks, num_ranks);
  }
  std::vector<std::vector<std::vector<int>>> layers;
  try {
    layers = json["layers"].get<std::vector<std::vector<std::vector<int>>>>();
  } catch (const nlohmann::json::exception&) {
    raise_usage("'{}': 'layers' is no list of lists of lists of ranks; expected {}", path, kPlacementForm);
  }
  return ExpertPlacement(std::move(layers), num_layers, num_experts, num_ranks, fmt::format("'{}'", path));
}

void print_placement(const std::string& load_path, int num_ranks, int num_replicas) {
  const ExpertLoad load = read_expert_load(load_path);
  const int num_layers = int(load.size()), num_experts = int(load[0].size());
  const ExpertPlacement balanced = balance_experts(load, num_ranks, num_replicas);
  const ExpertPlacement even = ExpertPlacement::even(num_layers, num_experts, num_ranks);
  print_now(placement_text(balanced, num_layers));
  fmt::print(stderr,
             "m2: load of the busiest rank over the average, worst layer: {:.3f}, with experts in order {:.3f}\n",
             imbalance(balanced, load), imbalance(even, load));
}

}  // namespace m2
