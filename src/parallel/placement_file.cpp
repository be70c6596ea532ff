// SPDX-License-Identifier: Apache-2.0
#include "parallel/placement_file.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "core/error.hpp"
#include "core/print.hpp"
#include "io/file.hpp"
#include "io/strict_json.hpp"
#include "parallel/expert_balance.hpp"

namespace m2 {
namespace {

using Json = nlohmann::json;

constexpr const char* kLoadForm = "the file that a job writes with output.expert_load";
constexpr const char* kPlacementForm = "the output of m2 --make-placement";

// So that a sum over all experts of a layer fits into 64 bits.
constexpr std::int64_t kMaxTokens = std::int64_t{1} << 48;

// A JSON file of this program, and its errors.
class JsonFile {
 public:
  JsonFile(const std::string& path, const char* expected) : path_(path), expected_(expected) {
    try {
      json_ = parse_strict_json(read_text_file(path), fmt::format("'{}'", path));
    } catch (const Error& error) {
      raise_usage("{}; expected {}", error.what(), expected);
    }
  }

  [[noreturn]] void refuse(const std::string& what) const {
    raise_usage("'{}': {}; expected {}", path_, what, expected_);
  }

  const Json& list(const char* key) const {
    const auto found = json_.is_object() ? json_.find(key) : json_.end();
    if (found == json_.end() || !found->is_array()) refuse(fmt::format("there is no list '{}'", key));
    return *found;
  }

  const Json& json() const { return json_; }

 private:
  std::string path_, expected_;
  Json json_;
};

std::vector<std::int64_t> read_counts(const JsonFile& file, const Json& layer, std::size_t number,
                                      std::size_t num_experts) {
  if (!layer.is_array() || layer.empty()) file.refuse(fmt::format("layer {} is not a list of numbers", number));
  if (layer.size() != num_experts) {
    file.refuse(fmt::format("layer {} has {} experts, layer 0 has {}", number, layer.size(), num_experts));
  }
  std::vector<std::int64_t> counts;
  for (const Json& value : layer) {
    const auto count = whole_number(value, 0, kMaxTokens);
    if (!count) {
      file.refuse(fmt::format("layer {}, expert {}: found {}, which is not a number of tokens from 0 to {}", number,
                              counts.size(), json_excerpt(value), kMaxTokens));
    }
    counts.push_back(*count);
  }
  return counts;
}

std::vector<int> read_ranks(const JsonFile& file, const Json& expert, const std::string& place, int num_ranks) {
  if (!expert.is_array()) {
    file.refuse(fmt::format("{}: found {}, which is not a list of ranks", place, json_excerpt(expert)));
  }
  std::vector<int> ranks;
  for (const Json& value : expert) {
    const auto rank = whole_number(value, 0, num_ranks - 1);
    if (!rank) {
      file.refuse(
          fmt::format("{}: found {}, which is not a rank from 0 to {}", place, json_excerpt(value), num_ranks - 1));
    }
    ranks.push_back(int(*rank));
  }
  return ranks;
}

}  // namespace

void write_expert_load(const std::string& path, const ExpertLoad& load) {
  write_text_file_atomically(path, nlohmann::json{{"tokens", load}}.dump() + "\n");
}

ExpertLoad read_expert_load(const std::string& path) {
  const JsonFile file(path, kLoadForm);
  const Json& tokens = file.list("tokens");
  if (tokens.empty()) file.refuse("the list 'tokens' is empty");
  ExpertLoad load;
  for (const Json& layer : tokens) load.push_back(read_counts(file, layer, load.size(), tokens[0].size()));
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
  const JsonFile file(path, kPlacementForm);
  const Json& list = file.list("layers");
  const auto made_for = file.json().find("ranks");
  if (made_for == file.json().end()) file.refuse("'ranks' is missing");
  if (whole_number(*made_for, num_ranks, num_ranks) != num_ranks) {
    raise_usage("'{}': made for {} ranks, and parallel.expert is {}; make one for {}", path, json_excerpt(*made_for),
                num_ranks, num_ranks);
  }
  std::vector<std::vector<std::vector<int>>> layers;
  for (const Json& layer : list) {
    const std::size_t number = layers.size();
    if (!layer.is_array()) file.refuse(fmt::format("layer {} is not a list of lists of ranks", number));
    std::vector<std::vector<int>>& experts = layers.emplace_back();
    for (const Json& expert : layer) {
      experts.push_back(
          read_ranks(file, expert, fmt::format("layer {}, expert {}", number, experts.size()), num_ranks));
    }
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
