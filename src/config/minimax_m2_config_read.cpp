// SPDX-License-Identifier: Apache-2.0
// Reading config.json. Three dialects are in use: "long" (MiniMax-M2), "short" (M2.1 to M2.7) and that of
// transformers 5.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "config/config_dimensions.hpp"
#include "config/json_object.hpp"
#include "config/minimax_m2_config.hpp"
#include "core/error.hpp"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kArchitecture = "MiniMaxM2ForCausalLM";

/// A key that changes the model, and the values for which the model is the one implemented here. Absent and null always
/// are.
struct FixedKey {
  const char* key;
  const char* allowed;  // a JSON list
};

constexpr FixedKey kFixedKeys[] = {
    {"tie_word_embeddings", "[false]"},   {"hidden_act", R"(["silu"])"},       {"use_qk_norm", "[true]"},
    {"qk_norm_type", R"(["per_layer"])"}, {"attention_bias", "[false]"},       {"sliding_window", "[null]"},
    {"attn_window_size", "[null]"},       {"shared_intermediate_size", "[0]"}, {"num_expert_group", "[null,0,1]"},
    {"topk_group", "[null,0,1]"},         {"routed_scaling_factor", "[1.0]"},
};

constexpr FixedKey kFixedQuantizationKeys[] = {
    {"fmt", R"(["float8_e4m3fn"])"},
    {"activation_scheme", R"(["dynamic"])"},
    {"weight_block_size", "[[128,128]]"},
};

void require_fixed(const JsonObject& object, const FixedKey& fixed) {
  const Json* found = object.value(fixed.key);
  if (!found) return;
  const Json allowed = Json::parse(fixed.allowed);
  if (std::find(allowed.begin(), allowed.end(), *found) == allowed.end()) {
    object.refuse(fixed.key, allowed.size() == 1 ? allowed[0].dump() : "one of " + allowed.dump());
  }
}

/// The first upload of M2 called itself "minimax", which is also the name of other models.
void require_model_type(const JsonObject& object) {
  const auto architectures = object.strings("architectures");
  const bool is_m2 = std::find(architectures.begin(), architectures.end(), kArchitecture) != architectures.end();
  const auto model_type = object.find_string("model_type");
  const bool accepted = model_type == "minimax_m2" || (is_m2 && (!model_type || model_type == "minimax"));
  if (!accepted) {
    object.refuse("model_type",
                  fmt::format("\"minimax_m2\", or \"minimax\" with architectures [\"{}\"]", kArchitecture));
  }
  if (!architectures.empty() && !is_m2) object.refuse("architectures", fmt::format("[\"{}\"]", kArchitecture));
}

/// Every layer has full softmax attention.
void require_full_attention(const JsonObject& object) {
  const auto require_all = [&object](const char* key, const Json& one) {
    const Json* found = object.value(key);
    if (!found) return;
    const auto is_one = [&one](const Json& item) { return item == one; };
    if (!found->is_array() || !std::all_of(found->begin(), found->end(), is_one)) {
      object.refuse(key, fmt::format("a list of nothing but {}", one.dump()));
    }
  };
  require_all("attn_type_list", 1);
  require_all("layer_types", "full_attention");
}

void require_plain_rope(const JsonObject& object, const char* section) {
  const auto rope = object.find_object(section);
  if (!rope) return;
  for (const char* key : {"rope_type", "type"}) {
    if (rope->has(key) && rope->find_string(key) != "default") rope->refuse(key, "\"default\"");
  }
}

int rotary_dim_from(const JsonObject& object, int head_dim) {
  const double factor = *object.find_real("partial_rotary_factor", 0.0, 1.0);
  const double width = head_dim * factor;
  // A factor such as 1/3 was itself rounded on its way through the file.
  if (std::abs(width - std::round(width)) > 1e-6) {
    object.refuse("partial_rotary_factor", fmt::format("a factor that makes head_dim ({}) a whole number", head_dim));
  }
  return int(std::lround(width));
}

/// Never falls back to the full head: a model read with the wrong width answers fluently and wrongly.
void read_rope(const JsonObject& object, MiniMaxM2Config& config) {
  require_plain_rope(object, "rope_parameters");
  require_plain_rope(object, "rope_scaling");
  const auto parameters = object.find_object("rope_parameters");
  const bool theta_inside = !object.has("rope_theta") && parameters;
  config.rope_theta = (theta_inside ? *parameters : object).real("rope_theta", kMinRopeTheta, kMaxRopeTheta);
  if (object.has("rotary_dim")) {
    config.rotary_dim = int(object.whole("rotary_dim", 2, config.head_dim));
  } else if (object.has("partial_rotary_factor")) {
    config.rotary_dim = rotary_dim_from(object, config.head_dim);
  } else if (parameters && parameters->has("partial_rotary_factor")) {
    config.rotary_dim = rotary_dim_from(*parameters, config.head_dim);
  } else {
    object.refuse("rotary_dim", fmt::format("it (64 in MiniMax-M2, an even number up to head_dim = {}), or "
                                            "partial_rotary_factor, or rope_parameters.partial_rotary_factor",
                                            config.head_dim));
  }
}

void read_dtype(const JsonObject& object, MiniMaxM2Config& config) {
  const char* key = object.has("dtype") ? "dtype" : "torch_dtype";
  const std::string found = object.find_string(key).value_or("bfloat16");
  if (found != "bfloat16" && found != "float32") object.refuse(key, "\"bfloat16\" or \"float32\"");
  config.dtype = parse_dtype(found);
}

void read_quantization(const JsonObject& object, MiniMaxM2Config& config) {
  const auto section = object.find_object("quantization_config");
  if (!section) return;
  if (section->find_string("quant_method") != "fp8") section->refuse("quant_method", "\"fp8\"");
  for (const FixedKey& fixed : kFixedQuantizationKeys) require_fixed(*section, fixed);
  if (!section->has("weight_block_size"))
    section->refuse("weight_block_size", "[128,128]");  // null: one scale a tensor
  config.quantization.emplace().modules_to_not_convert = section->strings("modules_to_not_convert");
}

/// Multi-token prediction; the keys are everywhere, the tensors nowhere.
bool has_mtp(const JsonObject& object) {
  const auto asks = [&object](const char* key) {
    const Json* found = object.value(key);
    return found && *found != false && *found != 0;
  };
  return asks("use_mtp") || asks("num_mtp_modules") || asks("mtp_transformer_layers");
}

/// The short dialect leaves the ids to the code beside the checkpoint, which says 1 and 2: wrong for every released
/// model.
void read_token_ids(const JsonObject& object, MiniMaxM2Config& config) {
  constexpr int kVocabSize = 200064, kBos = 200034, kEos = 200020;
  const int last = config.vocab_size - 1;
  if (const auto bos = object.find_whole("bos_token_id", 0, last)) config.bos_token_id = int(*bos);
  config.eos_token_id = object.whole_or_list("eos_token_id", 0, last);
  if (config.vocab_size != kVocabSize) return;
  if (!config.bos_token_id) config.bos_token_id = kBos;
  if (config.eos_token_id.empty()) config.eos_token_id = {kEos};
}

}  // namespace

MiniMaxM2Config MiniMaxM2Config::from_json(std::string_view text, const std::string& source) {
  const JsonObject object = JsonObject::parse(text, source);
  require_model_type(object);
  for (const FixedKey& fixed : kFixedKeys) require_fixed(object, fixed);
  require_full_attention(object);
  MiniMaxM2Config config;
  for (const ConfigDimension& dimension : kConfigDimensions) {
    config.*dimension.field = int(object.whole(dimension.key, 1, dimension.max));
  }
  config.rms_norm_eps = object.real("rms_norm_eps", kMinRmsNormEps, kMaxRmsNormEps);
  read_rope(object, config);
  if (const auto scoring = object.find_string("scoring_func")) {
    if (scoring != "sigmoid" && scoring != "softmax")
      object.refuse("scoring_func", "one of " + allowed_names<ScoringFunc>());
    config.scoring_func = parse_enum<ScoringFunc>(*scoring);
  }
  config.use_routing_bias = object.find_bool("use_routing_bias").value_or(true);
  read_dtype(object, config);
  read_quantization(object, config);
  read_token_ids(object, config);
  config.ignored_mtp = has_mtp(object);
  config.original = text;
  config.validate(source);
  return config;
}

}  // namespace m2
