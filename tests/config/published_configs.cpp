// SPDX-License-Identifier: Apache-2.0
#include "config/published_configs.hpp"

#include <nlohmann/json.hpp>

namespace m2::test {
namespace {

using Json = nlohmann::ordered_json;

/// What all released configurations share.
Json common_keys() {
  return Json::parse(R"({
    "architectures": ["MiniMaxM2ForCausalLM"], "model_type": "minimax_m2",
    "hidden_size": 3072, "intermediate_size": 1536, "num_hidden_layers": 62, "num_attention_heads": 48,
    "num_key_value_heads": 8, "head_dim": 128, "num_local_experts": 256, "num_experts_per_tok": 8,
    "vocab_size": 200064, "rms_norm_eps": 1e-06, "hidden_act": "silu", "scoring_func": "sigmoid",
    "use_routing_bias": true, "use_qk_norm": true, "qk_norm_type": "per_layer", "tie_word_embeddings": false,
    "use_cache": true, "use_mtp": true, "num_mtp_modules": 3, "mtp_transformer_layers": 1,
    "shared_intermediate_size": 0
  })");
}

Json quantization() {
  return Json::parse(R"({
    "activation_scheme": "dynamic", "fmt": "float8_e4m3fn", "quant_method": "fp8", "weight_block_size": [128, 128],
    "modules_to_not_convert": ["gate", "e_score_correction_bias", "lm_head"]
  })");
}

}  // namespace

std::string m2_config_json() {
  Json json = common_keys();
  json.update(Json::parse(R"({
    "attention_dropout": 0.0, "bos_token_id": null, "eos_token_id": null, "initializer_range": 0.02,
    "layernorm_full_attention_beta": 1.0, "layernorm_linear_attention_beta": 1.0, "layernorm_mlp_beta": 1.0,
    "mlp_intermediate_size": 8192, "output_router_logits": false, "router_aux_loss_coef": 0.001,
    "router_jitter_noise": 0.0, "shared_moe_mode": "sigmoid", "sliding_window": null, "max_model_len": null,
    "num_expert_group": null, "topk_group": null, "partial_rotary_factor": 0.5, "routed_scaling_factor": 1.0,
    "swa_rope_theta": -1.0, "use_grouped_topk": true,
    "max_position_embeddings": 196608, "rope_theta": 5000000, "rotary_dim": 64
  })"));
  json["attn_type_list"] = std::vector<int>(62, 1);
  json["quantization_config"] = quantization();
  json["quantization_config"].erase("modules_to_not_convert");  // added by a later commit
  return json.dump(2);
}

std::string m2_7_config_json() {
  Json json = common_keys();
  json["attn_type_list"] = std::vector<int>(62, 1);
  json["auto_map"] = {{"AutoConfig", "configuration_minimax_m2.MiniMaxM2Config"}};
  json["max_position_embeddings"] = 204800;
  json["rope_theta"] = 5000000;
  json["rotary_dim"] = 64;
  json["dtype"] = "bfloat16";
  json["quantization_config"] = quantization();
  return json.dump(2);
}

std::string m2_v5_config_json() {
  Json json = common_keys();
  json.update(Json::parse(R"({
    "bos_token_id": 200034, "eos_token_id": 200020, "max_position_embeddings": 196608,
    "rope_parameters": {"partial_rotary_factor": 0.5, "rope_theta": 5000000.0, "rope_type": "default"}
  })"));
  json["quantization_config"] = quantization();
  json["quantization_config"].erase("fmt");
  json["quantization_config"]["dequantize"] = false;
  return json.dump(2);
}

std::string small_config_json() {
  return R"({"model_type": "minimax_m2", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 96, "num_local_experts": 8,
    "num_experts_per_tok": 3, "vocab_size": 384, "max_position_embeddings": 512, "rms_norm_eps": 1e-6,
    "rope_theta": 1e4, "rotary_dim": 16})";
}

std::string with_key(const std::string& json, const std::string& key, const std::string& value) {
  Json root = Json::parse(json);
  Json* object = &root;
  std::string last = key;
  for (std::size_t dot; (dot = last.find('.')) != std::string::npos; last = last.substr(dot + 1)) {
    object = &(*object)[last.substr(0, dot)];
  }
  if (value.empty()) {
    object->erase(last);
  } else {
    (*object)[last] = Json::parse(value);
  }
  return root.dump();
}

}  // namespace m2::test
