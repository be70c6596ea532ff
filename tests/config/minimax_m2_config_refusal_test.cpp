// SPDX-License-Identifier: Apache-2.0
// Every config.json that is refused, with its whole message.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "config/minimax_m2_config.hpp"
#include "config/published_configs.hpp"
#include "core/error.hpp"

namespace m2 {
namespace {

std::string message_of(const std::string& json) {
  try {
    MiniMaxM2Config::from_json(json, "x/config.json");
  } catch (const Error& e) {
    return e.what();
  }
  return "accepted";
}

struct Refusal {
  const char* key;
  const char* value;  // empty: the key is missing
  const char* message;
};

const Refusal kRefusals[] = {
    {"tie_word_embeddings", "true", "key 'tie_word_embeddings': found true, expected false"},
    {"hidden_act", R"("gelu")", R"(key 'hidden_act': found "gelu", expected "silu")"},
    {"use_qk_norm", "false", "key 'use_qk_norm': found false, expected true"},
    {"qk_norm_type", R"("per_head")", R"(key 'qk_norm_type': found "per_head", expected "per_layer")"},
    {"attention_bias", "true", "key 'attention_bias': found true, expected false"},
    {"sliding_window", "4096", "key 'sliding_window': found 4096, expected null"},
    {"attn_window_size", "4096", "key 'attn_window_size': found 4096, expected null"},
    {"shared_intermediate_size", "8", "key 'shared_intermediate_size': found 8, expected 0"},
    {"num_expert_group", "4", "key 'num_expert_group': found 4, expected one of [null,0,1]"},
    {"topk_group", "2", "key 'topk_group': found 2, expected one of [null,0,1]"},
    {"routed_scaling_factor", "2.5", "key 'routed_scaling_factor': found 2.5, expected 1.0"},
    {"attn_type_list", "[1,0,1]", "key 'attn_type_list': found [1,0,1], expected a list of nothing but 1"},
    {"attn_type_list", "1", "key 'attn_type_list': found 1, expected a list of nothing but 1"},
    {"layer_types", R"(["full_attention","sliding_attention"])",
     "key 'layer_types': found [\"full_attention\",\"sliding_attention\"], expected a list of nothing but "
     "\"full_attention\""},
    {"scoring_func", R"("tanh")", R"(key 'scoring_func': found "tanh", expected one of sigmoid, softmax)"},
    {"scoring_func", "1", "key 'scoring_func': found 1, expected a string"},
    {"use_routing_bias", "1", "key 'use_routing_bias': found 1, expected true or false"},
    {"dtype", R"("float16")", R"(key 'dtype': found "float16", expected "bfloat16" or "float32")"},
    {"torch_dtype", R"("int8")", R"(key 'torch_dtype': found "int8", expected "bfloat16" or "float32")"},
    {"model_type", R"("llama")",
     R"(key 'model_type': found "llama", expected "minimax_m2", )"
     R"(or "minimax" with architectures ["MiniMaxM2ForCausalLM"])"},
    {"model_type", R"("minimax")",
     R"(key 'model_type': found "minimax", expected "minimax_m2", )"
     R"(or "minimax" with architectures ["MiniMaxM2ForCausalLM"])"},
    {"model_type", "",
     R"(key 'model_type' is missing, expected "minimax_m2", or "minimax" with architectures ["MiniMaxM2ForCausalLM"])"},
    {"architectures", R"(["LlamaForCausalLM"])",
     R"(key 'architectures': found ["LlamaForCausalLM"], expected ["MiniMaxM2ForCausalLM"])"},
    {"architectures", "[1]", "key 'architectures': found [1], expected a list of strings"},
    {"rope_parameters", R"({"rope_type": "yarn"})",
     R"(key 'rope_parameters.rope_type': found "yarn", expected "default")"},
    {"rope_scaling", R"({"type": "linear", "factor": 2})",
     R"(key 'rope_scaling.type': found "linear", expected "default")"},
    {"rope_scaling", "2", "key 'rope_scaling': found 2, expected an object"},
    {"rope_theta", "0", "key 'rope_theta': found 0, expected a number from 1 to 1000000000000"},
    {"rope_theta", R"("5e6")", R"(key 'rope_theta': found "5e6", expected a number from 1 to 1000000000000)"},
    {"rope_theta", "", "key 'rope_theta' is missing, expected a number from 1 to 1000000000000"},
    {"rms_norm_eps", "0", "key 'rms_norm_eps': found 0, expected a number from 1e-12 to 1"},
    {"rotary_dim", "15", "key 'rotary_dim': found 15, expected an even number from 2 to head_dim (32)"},
    {"rotary_dim", "34", "key 'rotary_dim': found 34, expected a whole number from 2 to 32"},
    {"rotary_dim", "",
     "key 'rotary_dim' is missing, expected it (64 in MiniMax-M2, an even number up to head_dim = 32), or "
     "partial_rotary_factor, or rope_parameters.partial_rotary_factor"},
    {"num_key_value_heads", "3", "key 'num_key_value_heads': found 3, expected a divisor of num_attention_heads (4)"},
    {"num_key_value_heads", "8", "key 'num_key_value_heads': found 8, expected a divisor of num_attention_heads (4)"},
    {"num_experts_per_tok", "9", "key 'num_experts_per_tok': found 9, expected at most num_local_experts (8)"},
    {"hidden_size", "", "key 'hidden_size' is missing, expected a whole number from 1 to 131072"},
    {"hidden_size", "null", "key 'hidden_size' is missing, expected a whole number from 1 to 131072"},
    {"hidden_size", "0", "key 'hidden_size': found 0, expected a whole number from 1 to 131072"},
    {"hidden_size", "-64", "key 'hidden_size': found -64, expected a whole number from 1 to 131072"},
    {"hidden_size", "64.0", "key 'hidden_size': found 64.0, expected a whole number from 1 to 131072"},
    {"hidden_size", "[64]", "key 'hidden_size': found [64], expected a whole number from 1 to 131072"},
    {"vocab_size", "18446744073709551615",
     "key 'vocab_size': found 18446744073709551615, expected a whole number from 1 to 16777216"},
    {"head_dim", "", "key 'head_dim' is missing, expected a whole number from 1 to 1024"},
    {"bos_token_id", "384", "key 'bos_token_id': found 384, expected a whole number from 0 to 383"},
    {"eos_token_id", "[2,-1]",
     "key 'eos_token_id': found [2,-1], expected a whole number from 0 to 383, or a list of them"},
    {"quantization_config", R"({"quant_method": "gptq"})",
     R"(key 'quantization_config.quant_method': found "gptq", expected "fp8")"},
    {"quantization_config", "{}", R"(key 'quantization_config.quant_method' is missing, expected "fp8")"},
    {"quantization_config", R"({"quant_method": "fp8"})",
     "key 'quantization_config.weight_block_size' is missing, expected [128,128]"},
    {"quantization_config", R"({"quant_method": "fp8", "weight_block_size": [64, 128]})",
     "key 'quantization_config.weight_block_size': found [64,128], expected [128,128]"},
    {"quantization_config", R"({"quant_method": "fp8", "weight_block_size": [128, 128], "fmt": "e5m2"})",
     R"(key 'quantization_config.fmt': found "e5m2", expected "float8_e4m3fn")"},
    {"quantization_config",
     R"({"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "static"})",
     R"(key 'quantization_config.activation_scheme': found "static", expected "dynamic")"},
};

TEST(MiniMaxM2ConfigRefusal, TheUnchangedFileIsAccepted) {
  EXPECT_EQ(message_of(test::small_config_json()), "accepted");
}

TEST(MiniMaxM2ConfigRefusal, NamesFileKeyFoundAndAllowedValues) {
  for (const Refusal& refusal : kRefusals) {
    const std::string json = test::with_key(test::small_config_json(), refusal.key, refusal.value);
    EXPECT_EQ(message_of(json), std::string("x/config.json: ") + refusal.message);
  }
}

TEST(MiniMaxM2ConfigRefusal, AFactorMustMakeAnEvenWidth) {
  const std::string without = test::with_key(test::small_config_json(), "rotary_dim", "");
  EXPECT_EQ(message_of(test::with_key(without, "partial_rotary_factor", "0.33")),
            "x/config.json: key 'partial_rotary_factor': found 0.33, expected a factor that makes head_dim (32) a "
            "whole number");
  EXPECT_EQ(message_of(test::with_key(without, "partial_rotary_factor", "0.46875")),
            "x/config.json: key 'rotary_dim': found 15, expected an even number from 2 to head_dim (32)");
}

TEST(MiniMaxM2ConfigRefusal, WhatIsNoJsonObject) {
  using ::testing::StartsWith;
  EXPECT_EQ(message_of("[1]"), "x/config.json: found [1], expected a JSON object");
  EXPECT_THAT(message_of(""),
              StartsWith("x/config.json: not valid JSON: at byte 1: attempting to parse an empty input"));
  EXPECT_THAT(message_of("{\"a\": \xff}"), StartsWith("x/config.json: not valid JSON: at byte 7: syntax error"));
  EXPECT_THAT(message_of("{\"a\": 1e999}"), StartsWith("x/config.json: not valid JSON: number overflow"));
  EXPECT_EQ(message_of(R"({"o": {"a": 1}, "a": 1, "a": 2})"), "x/config.json: key 'a' is given twice");
  EXPECT_EQ(message_of(std::string(100000, '[')), "x/config.json: JSON nested deeper than 32 levels");
  EXPECT_EQ(message_of(std::string(5 << 20, ' ')), "x/config.json: 5242880 bytes; a configuration has at most 4194304");
  std::string many = "{";
  for (int i = 0; i < 20000; ++i) many += fmt::format("\"k{}\":0,", i);
  EXPECT_EQ(message_of(many + "\"last\":0}"), "x/config.json: more than 10000 keys");
}

TEST(MiniMaxM2ConfigRefusal, ALongValueIsCutInTheMessage) {
  const std::string json = test::with_key(test::small_config_json(), "hidden_act", '"' + std::string(1000, 'x') + '"');
  EXPECT_EQ(message_of(json),
            "x/config.json: key 'hidden_act': found \"" + std::string(59, 'x') + "..., expected \"silu\"");
}

TEST(MiniMaxM2ConfigRefusal, ValidateChecksWhatWasMadeInCode) {
  MiniMaxM2Config config;
  EXPECT_NO_THROW(config.validate("test"));
  const auto message = [&config] {
    try {
      config.validate("test");
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  config.dtype = DType::float16;
  EXPECT_EQ(message(), R"(test: key 'dtype': found "float16", expected "bfloat16" or "float32")");
  config = {};
  config.quantization.emplace().weight_block_size = {64, 64};
  EXPECT_EQ(message(), "test: key 'quantization_config.weight_block_size': found [64,64], expected [128,128]");
  config = {};
  config.rms_norm_eps = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(message(), "test: key 'rms_norm_eps': found nan, expected a number from 1e-12 to 1");
  config = {};
  config.eos_token_id = {200064};
  EXPECT_EQ(message(), "test: key 'eos_token_id': found 200064, expected a whole number from 0 to 200063");
}

}  // namespace
}  // namespace m2
