// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/adapter_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "config/json_object.hpp"
#include "core/error.hpp"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMaxRank = 1 << 16;
constexpr double kMinAlpha = 1e-6, kMaxAlpha = 1e6;

// Where the two name the parts of a layer differently.
struct Renamed {
  std::string_view parameter, module;
};
constexpr std::array<Renamed, 3> kRenamed{
    {{"attention/", "self_attn."}, {"moe/experts/", "mlp.experts."}, {"moe/", "mlp."}}};

// Keys that change what an adapter computes when they are set to anything but null, false and nothing.
constexpr std::array<const char*, 11> kRefused{"use_dora",        "lora_bias",         "fan_in_fan_out",
                                               "modules_to_save", "layer_replication", "trainable_token_indices",
                                               "use_qalora",      "use_bdlora",        "alora_invocation_tokens",
                                               "kasa_config",     "velora_config"};

bool is_set(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  return !value.is_null() && !((value.is_array() || value.is_object()) && value.empty());
}

// As PEFT matches: the key is a regular expression for the end of the module's name, from a dot on.
std::regex pattern(const JsonObject& json, const char* key, const std::string& text) {
  try {
    return std::regex("(.*\\.)?(" + text + ")");
  } catch (const std::regex_error&) {
    json.refuse(key, fmt::format("regular expressions as keys, and '{}' is none", text));
  }
}

template <class T>
T value_of(const std::vector<std::pair<std::regex, T>>& patterns, const std::string& module, T otherwise) {
  const auto found =
      std::ranges::find_if(patterns, [&](const auto& entry) { return std::regex_match(module, entry.first); });
  return found == patterns.end() ? otherwise : found->second;
}

// The value that most adapters have.
template <class T>
T most_frequent(const std::vector<AdapterSpec>& adapters, T AdapterSpec::* member) {
  std::map<T, int> counts;
  for (const AdapterSpec& adapter : adapters) ++counts[adapter.*member];
  return std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; })->first;
}

// A module's name from the layer's number on: what PEFT looks for in all layers.
std::string without_layer(const std::string& module) {
  constexpr std::string_view kLayers = "model.layers.";
  return module.starts_with(kLayers) ? module.substr(module.find('.', kLayers.size()) + 1) : module;
}

bool is_tensor_target(const std::string& module) { return module.find(".mlp.") != std::string::npos; }

// As PEFT's users write it: a linear layer by its last name, and what transformers holds as a parameter of a module by
// the end of its path.
std::string target_in_all_layers(const std::string& module) {
  return is_tensor_target(module) ? without_layer(module) : module.substr(module.rfind('.') + 1);
}

}  // namespace

AdapterConfig AdapterConfig::from_json(std::string_view text, const std::string& source) {
  const JsonObject json = JsonObject::parse(text, source);
  if (json.find_string("peft_type").value_or("") != "LORA") json.refuse("peft_type", "\"LORA\"");
  if (json.find_string("bias").value_or("none") != "none")
    json.refuse("bias", "\"none\": biases are not trained along");
  for (const char* key : kRefused) {
    if (json.has(key) && is_set(*json.value(key))) json.refuse(key, "nothing: it is not supported");
  }
  AdapterConfig config;
  config.rank_ = int(json.whole("r", 1, kMaxRank));
  config.alpha_ = json.real("lora_alpha", kMinAlpha, kMaxAlpha);
  config.use_rslora_ = json.find_bool("use_rslora").value_or(false);
  if (const auto patterns = json.find_object("rank_pattern")) {
    for (const auto& [key, value] : patterns->json().items()) {
      config.rank_patterns_.emplace_back(pattern(json, "rank_pattern", key), int(patterns->whole(key, 1, kMaxRank)));
    }
  }
  if (const auto patterns = json.find_object("alpha_pattern")) {
    for (const auto& [key, value] : patterns->json().items()) {
      config.alpha_patterns_.emplace_back(pattern(json, "alpha_pattern", key),
                                          patterns->real(key, kMinAlpha, kMaxAlpha));
    }
  }
  return config;
}

int AdapterConfig::rank(const std::string& module) const { return value_of(rank_patterns_, module, rank_); }

// use_rslora divides by the square root of the rank.
double AdapterConfig::alpha(const std::string& module) const {
  const double alpha = value_of(alpha_patterns_, module, alpha_);
  return use_rslora_ ? alpha * std::sqrt(double(rank(module))) : alpha;
}

std::string adapter_config_json(const std::vector<AdapterSpec>& adapters, int num_layers,
                                const std::string& base_model) {
  const int rank = most_frequent(adapters, &AdapterSpec::rank);
  const double alpha = most_frequent(adapters, &AdapterSpec::alpha);
  Json rank_pattern = Json::object(), alpha_pattern = Json::object();
  std::map<std::string, int> num_hits;
  for (const AdapterSpec& adapter : adapters) ++num_hits[without_layer(adapted_module(adapter.base))];
  std::vector<std::string> modules, tensors;
  for (const AdapterSpec& adapter : adapters) {
    const std::string module = adapted_module(adapter.base), in_layer = without_layer(module);
    const bool in_all_layers = in_layer != module && num_hits[in_layer] == num_layers;
    const std::string target =
        (in_all_layers ? target_in_all_layers(module) : module) + (module.ends_with(".gate") ? ".weight" : "");
    std::vector<std::string>& targets = is_tensor_target(module) ? tensors : modules;
    if (std::ranges::find(targets, target) == targets.end()) targets.push_back(target);
    if (adapter.rank != rank) rank_pattern[module] = adapter.rank;
    if (adapter.alpha != alpha) alpha_pattern[module] = adapter.alpha;
  }
  const Json json{{"alpha_pattern", alpha_pattern},
                  {"base_model_name_or_path", base_model},
                  {"bias", "none"},
                  {"fan_in_fan_out", false},
                  {"inference_mode", true},
                  {"init_lora_weights", true},
                  {"lora_alpha", alpha},
                  {"lora_dropout", 0.0},
                  {"modules_to_save", nullptr},
                  {"peft_type", "LORA"},
                  {"r", rank},
                  {"rank_pattern", rank_pattern},
                  {"target_modules", modules},
                  {"target_parameters", tensors},
                  {"task_type", "CAUSAL_LM"},
                  {"use_dora", false},
                  {"use_rslora", false}};
  return json.dump(2) + "\n";
}

std::string adapted_module(const std::string& parameter) {
  constexpr std::string_view kLayers = "layers/";
  if (!parameter.starts_with(kLayers)) return parameter;  // lm_head
  const std::size_t slash = parameter.find('/', kLayers.size());
  std::string part = parameter.substr(slash + 1);
  for (const auto& [ours, theirs] : kRenamed) {
    if (!part.starts_with(ours)) continue;
    part = std::string(theirs) + part.substr(ours.size());
    break;
  }
  if (part.starts_with("mlp.experts.")) part += "_proj";
  return fmt::format("model.layers.{}.{}", parameter.substr(kLayers.size(), slash - kLayers.size()), part);
}

}  // namespace m2
