// SPDX-License-Identifier: Apache-2.0
// Writing config.json: what was read stays as it was, what was changed in code is replaced.
#include "config/config_dimensions.hpp"
#include "config/json_object.hpp"
#include "config/minimax_m2_config.hpp"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

Json token_ids(const std::vector<int>& ids) {
  if (ids.empty()) return nullptr;
  return ids.size() == 1 ? Json(ids.front()) : Json(ids);
}

Json quantization_json(const QuantizationConfig& quantization) {
  return Json{{"quant_method", "fp8"},
              {"fmt", "float8_e4m3fn"},
              {"activation_scheme", "dynamic"},
              {"weight_block_size", quantization.weight_block_size},
              {"modules_to_not_convert", quantization.modules_to_not_convert}};
}

/// Keys that are the same for every model of this architecture.
Json fixed_keys() {
  return Json{{"architectures", {"MiniMaxM2ForCausalLM"}},
              {"model_type", "minimax_m2"},
              {"hidden_act", "silu"},
              {"use_qk_norm", true},
              {"qk_norm_type", "per_layer"},
              {"tie_word_embeddings", false},
              {"use_cache", true}};
}

/// Writes theta and rotary width where our reader looks first and where transformers 5 looks, which must agree.
void put_rope(const MiniMaxM2Config& config, Json& json) {
  json["rope_theta"] = config.rope_theta;
  json["rotary_dim"] = config.rotary_dim;
  const double factor = double(config.rotary_dim) / config.head_dim;
  if (json.contains("partial_rotary_factor")) json["partial_rotary_factor"] = factor;
  Json& parameters = json["rope_parameters"];
  parameters["partial_rotary_factor"] = factor;
  parameters["rope_theta"] = config.rope_theta;
  parameters["rope_type"] = "default";
}

/// Sets each key whose field is not as in `before`, or all without one.
void put_changes(const MiniMaxM2Config& config, const MiniMaxM2Config* before, Json& json) {
  const auto changed = [&](auto field) { return !before || before->*field != config.*field; };
  for (const ConfigDimension& dimension : kConfigDimensions) {
    if (changed(dimension.field)) json[dimension.key] = config.*dimension.field;
  }
  if (changed(&MiniMaxM2Config::rms_norm_eps)) json["rms_norm_eps"] = config.rms_norm_eps;
  const bool rope_changed = changed(&MiniMaxM2Config::rope_theta) || changed(&MiniMaxM2Config::rotary_dim) ||
                            changed(&MiniMaxM2Config::head_dim);
  if (rope_changed) put_rope(config, json);
  if (changed(&MiniMaxM2Config::scoring_func)) json["scoring_func"] = name(config.scoring_func);
  if (changed(&MiniMaxM2Config::use_routing_bias)) json["use_routing_bias"] = config.use_routing_bias;
  if (changed(&MiniMaxM2Config::bos_token_id)) {
    json["bos_token_id"] = config.bos_token_id ? Json(*config.bos_token_id) : Json(nullptr);
  }
  if (changed(&MiniMaxM2Config::eos_token_id)) json["eos_token_id"] = token_ids(config.eos_token_id);
  if (changed(&MiniMaxM2Config::dtype)) {
    const bool old_key = json.contains("torch_dtype") && !json.contains("dtype");
    json[old_key ? "torch_dtype" : "dtype"] = name(config.dtype);
  }
  if (changed(&MiniMaxM2Config::quantization)) {
    json.erase("quantization_config");
    if (config.quantization) json["quantization_config"] = quantization_json(*config.quantization);
  }
}

}  // namespace

std::string MiniMaxM2Config::to_json() const {
  const std::string source = "config.json as read";
  if (original.empty()) {
    Json json = fixed_keys();
    put_changes(*this, nullptr, json);
    return json.dump(2) + "\n";
  }
  const MiniMaxM2Config before = from_json(original, source);
  if (before == *this) return original;
  Json json = JsonObject::parse(original, source).json();
  put_changes(*this, &before, json);
  return json.dump(2) + "\n";
}

}  // namespace m2
