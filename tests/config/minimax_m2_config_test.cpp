// SPDX-License-Identifier: Apache-2.0
#include "config/minimax_m2_config.hpp"

#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "config/published_configs.hpp"
#include "core/error.hpp"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

std::string read_file(const std::string& name) {
  std::ifstream file(std::string(M2_TEST_DATA) + "/" + name);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

MiniMaxM2Config read(const std::string& json) { return MiniMaxM2Config::from_json(json, "config.json"); }

void expect_m2(const MiniMaxM2Config& config) {
  MiniMaxM2Config expected;  // the defaults are M2's
  expected.max_position_embeddings = config.max_position_embeddings;
  expected.bos_token_id = 200034;
  expected.eos_token_id = {200020};
  expected.quantization.emplace().modules_to_not_convert = config.quantization->modules_to_not_convert;
  expected.ignored_mtp = true;
  expected.original = config.original;
  EXPECT_EQ(config, expected);
}

TEST(MiniMaxM2Config, ReadsTheLongDialectOfM2) {
  const MiniMaxM2Config config = read(test::m2_config_json());
  expect_m2(config);
  EXPECT_EQ(config.max_position_embeddings, 196608);
  EXPECT_TRUE(config.quantization->modules_to_not_convert.empty());
}

TEST(MiniMaxM2Config, ReadsTheShortDialectOfM27) {
  const MiniMaxM2Config config = read(test::m2_7_config_json());
  expect_m2(config);
  EXPECT_EQ(config.max_position_embeddings, 204800);
  EXPECT_THAT(config.quantization->modules_to_not_convert,
              ::testing::ElementsAre("gate", "e_score_correction_bias", "lm_head"));
}

TEST(MiniMaxM2Config, ReadsTheDialectOfTransformers5) { expect_m2(read(test::m2_v5_config_json())); }

TEST(MiniMaxM2Config, TheFirstUploadsModelTypeIsAcceptedWithTheArchitecture) {
  expect_m2(read(test::with_key(test::m2_7_config_json(), "model_type", R"("minimax")")));
}

TEST(MiniMaxM2Config, ReadsTheFixtures) {
  const MiniMaxM2Config f32 = read(read_file("tiny-f32/config.json"));
  EXPECT_EQ(f32.dtype, DType::float32);
  EXPECT_EQ(f32.rotary_dim, 16);
  EXPECT_EQ(f32.bos_token_id, 1);
  EXPECT_THAT(f32.eos_token_id, ::testing::ElementsAre(2));
  EXPECT_FALSE(f32.quantization);
  EXPECT_FALSE(f32.ignored_mtp);
  const MiniMaxM2Config fp8 = read(read_file("tiny-fp8/config.json"));
  EXPECT_EQ(fp8.dtype, DType::bfloat16);
  EXPECT_EQ(fp8.rotary_dim, 32);
  EXPECT_EQ(fp8.bos_token_id, std::nullopt);  // not MiniMax's vocabulary: nothing is guessed
  EXPECT_TRUE(fp8.eos_token_id.empty());
  EXPECT_TRUE(fp8.quantization);
  EXPECT_TRUE(fp8.ignored_mtp);
}

TEST(MiniMaxM2Config, RotaryWidthFollowsTheOrderOfTheDialects) {
  const std::string without = test::with_key(test::small_config_json(), "rotary_dim", "");
  EXPECT_EQ(read(test::with_key(without, "partial_rotary_factor", "0.25")).rotary_dim, 8);
  const std::string inside = test::with_key(without, "rope_parameters", R"({"partial_rotary_factor": 0.75})");
  EXPECT_EQ(read(inside).rotary_dim, 24);
  EXPECT_EQ(read(test::with_key(inside, "partial_rotary_factor", "0.25")).rotary_dim, 8);
  EXPECT_EQ(read(test::with_key(inside, "rotary_dim", "16")).rotary_dim, 16);
}

TEST(MiniMaxM2Config, TopLevelThetaGoesFirst) {
  const std::string json = test::with_key(test::small_config_json(), "rope_parameters", R"({"rope_theta": 5.0})");
  EXPECT_EQ(read(json).rope_theta, 1e4);
  EXPECT_EQ(read(test::with_key(json, "rope_theta", "")).rope_theta, 5.0);
}

TEST(MiniMaxM2Config, DtypeHasTwoNamesAndADefault) {
  const std::string small = test::small_config_json();
  EXPECT_EQ(read(small).dtype, DType::bfloat16);
  EXPECT_EQ(read(test::with_key(small, "torch_dtype", R"("float32")")).dtype, DType::float32);
  const std::string both =
      test::with_key(test::with_key(small, "torch_dtype", R"("float32")"), "dtype", R"("bfloat16")");
  EXPECT_EQ(read(both).dtype, DType::bfloat16);
}

TEST(MiniMaxM2Config, TokenIdsOfTheFileGoBeforeMiniMaxs) {
  const std::string json = test::with_key(test::m2_7_config_json(), "eos_token_id", "[200020, 7]");
  EXPECT_THAT(read(json).eos_token_id, ::testing::ElementsAre(200020, 7));
  EXPECT_EQ(read(test::with_key(json, "bos_token_id", "5")).bos_token_id, 5);
}

TEST(MiniMaxM2Config, SoftmaxAndNoRoutingBiasAreRead) {
  const std::string json = test::with_key(test::small_config_json(), "scoring_func", R"("softmax")");
  EXPECT_EQ(read(json).scoring_func, ScoringFunc::softmax);
  EXPECT_FALSE(read(test::with_key(json, "use_routing_bias", "false")).use_routing_bias);
}

TEST(MiniMaxM2Config, WhatWasReadIsWrittenByteForByte) {
  for (const char* name : {"tiny-f32/config.json", "tiny-bf16/config.json", "tiny-fp8/config.json"}) {
    const std::string text = read_file(name);
    EXPECT_EQ(read(text).to_json(), text) << name;
  }
  const std::string odd =
      "\n " + test::with_key(test::small_config_json(), "of_tomorrow", R"({"b": [1e2], "a": null})");
  EXPECT_EQ(read(odd).to_json(), odd);
}

TEST(MiniMaxM2Config, AChangedFieldChangesItsKeysOnly) {
  MiniMaxM2Config config = read(test::m2_v5_config_json());
  config.quantization.reset();
  config.dtype = DType::float32;
  config.rotary_dim = 32;
  config.num_hidden_layers = 2;
  config.eos_token_id = {1, 2};
  Json expected = Json::parse(test::m2_v5_config_json());
  expected.erase("quantization_config");
  expected["dtype"] = "float32";
  expected["num_hidden_layers"] = 2;
  expected["eos_token_id"] = {1, 2};
  expected["rotary_dim"] = 32;
  expected["rope_theta"] = 5e6;
  expected["rope_parameters"]["partial_rotary_factor"] = 0.25;
  const std::string written = config.to_json();
  EXPECT_EQ(nlohmann::json::parse(written), nlohmann::json(expected));
  EXPECT_LT(written.find("model_type"), written.find("hidden_size"));  // the order of the keys is kept too
  config.original = written;
  EXPECT_EQ(read(written), config);
}

TEST(MiniMaxM2Config, OneMadeInCodeReadsBackTheSame) {
  MiniMaxM2Config config;
  config.num_hidden_layers = 3;
  config.head_dim = 96;
  config.rotary_dim = 32;  // a third of the head: the factor is not exact
  config.vocab_size = 384;
  config.bos_token_id = 3;
  config.eos_token_id = {4, 5};
  config.dtype = DType::float32;
  config.scoring_func = ScoringFunc::softmax;
  config.use_routing_bias = false;
  config.quantization.emplace().modules_to_not_convert = {"gate"};
  const std::string text = config.to_json();
  const Json json = Json::parse(text);
  EXPECT_EQ(json["rope_parameters"]["rope_type"], "default");
  EXPECT_EQ(json["architectures"][0], "MiniMaxM2ForCausalLM");
  config.original = text;
  EXPECT_EQ(read(text), config);
  // Another reader takes the width from the factor.
  config.original = test::with_key(text, "rotary_dim", "");
  EXPECT_EQ(read(config.original), config);
}

// The published counts: Hugging Face shows 228,689,764,864 parameters for MiniMax-M2; the rest follows from its shapes.
TEST(MiniMaxM2Config, CountsThePublishedModel) {
  const MiniMaxM2Config config = read(test::m2_config_json());
  EXPECT_EQ(config.num_parameters(), 228'689'764'864);
  EXPECT_EQ(config.num_active_parameters(), 10'415'956'480);
}

TEST(MiniMaxM2Config, CountsWithoutTheSelectionBias) {
  MiniMaxM2Config config;
  config.use_routing_bias = false;
  EXPECT_EQ(config.num_parameters(), 228'689'764'864 - 62 * 256);
}

}  // namespace
}  // namespace m2
