// SPDX-License-Identifier: Apache-2.0
#include "infer/placement_file.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>

#include "core/error.hpp"
#include "infer/output_lines.hpp"
#include "io/file.hpp"

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
  if (json.is_discarded()) throw UsageError(fmt::format("'{}': not JSON; expected {}", path, expected));
  return json;
}

constexpr const char* kLoadForm = "the file that a job writes with output.expert_load";
constexpr const char* kPlacementForm = "the output of m2 --make-placement";

// One copy of an expert and the load it carries.
struct Copy {
  int expert;
  double load;
};

// The busiest first; among equals the lower expert.
std::vector<Copy> copies_of(const std::vector<std::int64_t>& load, int num_ranks, int num_replicas) {
  std::vector<int> count(load.size(), 1);
  const auto share = [&](std::size_t e) { return double(load[e]) / count[e]; };
  for (int i = 0; i < num_replicas; ++i) {
    std::size_t busiest = load.size();
    for (std::size_t e = 0; e < load.size(); ++e) {
      if (count[e] < num_ranks && (busiest == load.size() || share(e) > share(busiest))) busiest = e;
    }
    if (busiest == load.size()) break;  // every rank has every expert
    ++count[busiest];
  }
  std::vector<Copy> copies;
  for (std::size_t e = 0; e < load.size(); ++e) copies.insert(copies.end(), count[e], Copy{int(e), share(e)});
  std::ranges::stable_sort(copies, [](const Copy& a, const Copy& b) { return a.load > b.load; });
  return copies;
}

std::vector<std::vector<int>> balance_layer(const std::vector<std::int64_t>& load, int num_ranks, int num_replicas) {
  const std::vector<Copy> copies = copies_of(load, num_ranks, num_replicas);
  const std::int64_t room = (std::ssize(copies) + num_ranks - 1) / num_ranks;
  std::vector<std::vector<int>> ranks_of(load.size());
  std::vector<double> rank_load(num_ranks, 0.0);
  std::vector<std::int64_t> num_copies(num_ranks, 0);
  for (std::size_t i = 0; i < copies.size(); ++i) {
    std::vector<int>& ranks = ranks_of[copies[i].expert];
    // The last copies go where there is none yet: no rank may be left without an expert.
    const auto num_empty = std::ranges::count(num_copies, 0);
    const bool fill_empty = std::ssize(copies) - std::int64_t(i) <= num_empty;
    int best = -1;
    for (int r = 0; r < num_ranks; ++r) {
      if (std::ranges::find(ranks, r) != ranks.end() || num_copies[r] >= room) continue;
      if (fill_empty && num_copies[r] > 0) continue;
      if (best < 0 || rank_load[r] < rank_load[best]) best = r;
    }
    if (best < 0) continue;  // all ranks with room have this expert: the copy is not worth another place
    ranks.push_back(best);
    rank_load[best] += copies[i].load;
    ++num_copies[best];
  }
  for (std::vector<int>& ranks : ranks_of) std::ranges::sort(ranks);
  return ranks_of;
}

}  // namespace

void write_expert_load(const std::string& path, const ExpertLoad& load) {
  write_text_file_atomically(path, nlohmann::json{{"tokens", load}}.dump() + "\n");
}

ExpertLoad read_expert_load(const std::string& path) {
  const nlohmann::json json = read_json(path, kLoadForm);
  const auto require = [&](bool is_right, const std::string& place) {
    if (!is_right) throw UsageError(fmt::format("'{}': {}; expected {}", path, place, kLoadForm));
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

ExpertPlacement balance_experts(const ExpertLoad& load, int num_ranks, int num_replicas) {
  const int num_experts = int(load[0].size());
  if (num_ranks < 1 || num_ranks > num_experts) {
    throw UsageError(fmt::format("the {} experts of a layer cannot be split over {} ranks; expected 1 to {}",
                                 num_experts, num_ranks, num_experts));
  }
  std::vector<std::vector<std::vector<int>>> layers;
  for (const std::vector<std::int64_t>& layer : load) layers.push_back(balance_layer(layer, num_ranks, num_replicas));
  const int num_layers = int(layers.size());
  return ExpertPlacement(std::move(layers), num_layers, num_experts, num_ranks, "balanced placement");
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
    throw UsageError(fmt::format("'{}': 'ranks' or 'layers' is missing; expected {}", path, kPlacementForm));
  }
  if (json["ranks"] != num_ranks) {
    throw UsageError(fmt::format("'{}': made for {} ranks, and parallel.expert is {}; make one for {}", path,
                                 json["ranks"].dump(), num_ranks, num_ranks));
  }
  std::vector<std::vector<std::vector<int>>> layers;
  try {
    layers = json["layers"].get<std::vector<std::vector<std::vector<int>>>>();
  } catch (const nlohmann::json::exception&) {
    throw UsageError(
        fmt::format("'{}': 'layers' is no list of lists of lists of ranks; expected {}", path, kPlacementForm));
  }
  return ExpertPlacement(std::move(layers), num_layers, num_experts, num_ranks, fmt::format("'{}'", path));
}

double imbalance(const ExpertPlacement& placement, const ExpertLoad& load) {
  double worst = 1.0;
  for (std::size_t layer = 0; layer < load.size(); ++layer) {
    std::vector<double> rank_load(placement.num_ranks(), 0.0);
    for (std::size_t e = 0; e < load[layer].size(); ++e) {
      const std::vector<int>& ranks = placement.ranks_of(int(layer))[e];
      for (const int rank : ranks) rank_load[rank] += double(load[layer][e]) / double(ranks.size());
    }
    const double total = std::accumulate(rank_load.begin(), rank_load.end(), 0.0);
    if (total > 0) worst = std::max(worst, *std::ranges::max_element(rank_load) * placement.num_ranks() / total);
  }
  return worst;
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
