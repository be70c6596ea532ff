// SPDX-License-Identifier: Apache-2.0
#include "model/parameter_schema.hpp"

#include <gmock/gmock.h>

#include <array>
#include <map>

#include "core/error.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::ThrowsMessage;

std::vector<std::string> names(const ParameterSchemas& schemas) {
  std::vector<std::string> names;
  for (const ParameterSchema& schema : schemas.list()) names.push_back(schema.name);
  return names;
}

TEST(ParameterSchemas, AreInTheOrderOfTheForwardPass) {
  MiniMaxM2Config config;
  config.num_hidden_layers = 1;
  EXPECT_THAT(names(ParameterSchemas(config)),
              ElementsAre("embed_tokens", "layers/0/input_norm", "layers/0/attention/q_proj",
                          "layers/0/attention/k_proj", "layers/0/attention/v_proj", "layers/0/attention/o_proj",
                          "layers/0/attention/q_norm", "layers/0/attention/k_norm", "layers/0/post_attention_norm",
                          "layers/0/moe/gate", "layers/0/moe/selection_bias", "layers/0/moe/experts/gate_up",
                          "layers/0/moe/experts/down", "norm", "lm_head"));
}

// Hugging Face shows 228,689,764,864 parameters for MiniMax-M2.
TEST(ParameterSchemas, AreThoseOfThePublishedModel) {
  const MiniMaxM2Config config;
  const ParameterSchemas schemas(config);
  std::map<ParameterKind, int> count;
  std::int64_t num_values = 0;
  for (const ParameterSchema& schema : schemas.list()) {
    ++count[schema.kind];
    num_values += schema.num_values();
  }
  EXPECT_THAT(count, ElementsAre(Pair(ParameterKind::embedding, 1), Pair(ParameterKind::norm, 62 * 4 + 1),
                                 Pair(ParameterKind::attention, 62 * 4), Pair(ParameterKind::router, 62 * 2),
                                 Pair(ParameterKind::experts, 62 * 2), Pair(ParameterKind::head, 1)));
  EXPECT_EQ(num_values, 228'689'764'864);
  EXPECT_EQ(num_values, config.num_parameters());

  const auto shape = [&](const std::string& name) { return schemas.at("layers/61/" + name).shape; };
  EXPECT_THAT(shape("attention/q_proj"), ElementsAre(6144, 3072));
  EXPECT_THAT(shape("attention/v_proj"), ElementsAre(1024, 3072));
  EXPECT_THAT(shape("attention/o_proj"), ElementsAre(3072, 6144));
  EXPECT_THAT(shape("attention/k_norm"), ElementsAre(1024));
  EXPECT_THAT(shape("moe/gate"), ElementsAre(256, 3072));
  EXPECT_THAT(shape("moe/selection_bias"), ElementsAre(256));
  EXPECT_THAT(shape("moe/experts/gate_up"), ElementsAre(256, 3072, 3072));
  EXPECT_THAT(shape("moe/experts/down"), ElementsAre(256, 3072, 1536));
  EXPECT_EQ(schemas.at("layers/61/moe/experts/gate_up").num_row_parts, 2);
  EXPECT_EQ(schemas.at("layers/61/moe/experts/down").num_row_parts, 1);
}

TEST(ParameterSchemas, AreFoundByName) {
  MiniMaxM2Config config;
  EXPECT_EQ(ParameterSchemas(config).at("layers/3/moe/gate").name, "layers/3/moe/gate");
  EXPECT_NE(ParameterSchemas(config).find("layers/0/moe/selection_bias"), nullptr);
  config.use_routing_bias = false;
  EXPECT_EQ(ParameterSchemas(config).find("layers/0/moe/selection_bias"), nullptr);
  EXPECT_THAT([&] { ParameterSchemas(config).at("layers/62/input_norm"); },
              ThrowsMessage<Error>("the model has no parameter 'layers/62/input_norm'"));
}

// A training step and a checkpoint walk through the parameters in one order.
TEST(ParameterSchemas, AreAllTheParametersOfAModelInTheirOrder) {
  for (const bool use_routing_bias : {true, false}) {
    MiniMaxM2Config config;
    config.use_routing_bias = use_routing_bias;
    MiniMaxM2ForCausalLM model(config, {.exec = exec()});
    std::vector<ParameterSchema> found;
    for (const Parameter& parameter : model.parameters()) {
      found.push_back(parameter.schema);
      EXPECT_NE(parameter.weight != nullptr, parameter.vector != nullptr) << parameter.name();
      EXPECT_EQ(parameter.vector != nullptr, parameter.schema.is_vector()) << parameter.name();
      EXPECT_EQ(parameter.local_shape(), parameter.schema.shape) << parameter.name();
    }
    EXPECT_TRUE(found == ParameterSchemas(config).list());
  }
}

TEST(ScaleShape, HasWholeBlocksForEachRowPart) {
  EXPECT_THAT(scale_shape({3072, 6144}, 1), ElementsAre(24, 48));
  EXPECT_THAT(scale_shape({1, 129}, 1), ElementsAre(1, 2));
  EXPECT_THAT(scale_shape({5, 320, 192}, 1), ElementsAre(5, 3, 2));
  EXPECT_THAT(scale_shape({5, 320, 192}, 2), ElementsAre(5, 4, 2)) << "two blocks for 160 rows, twice";
}

// Rows: what the values come as; columns: what the model computes in.
TEST(HeldDType, FollowsSchemaCheckpointAndModel) {
  constexpr DType kF32 = DType::float32, kBf16 = DType::bfloat16, kFp8 = DType::float8_e4m3fn;
  const ParameterSchemas schemas{MiniMaxM2Config()};
  const auto held = [&](const std::string& name) {
    std::vector<DType> dtypes;
    for (const DType dtype : {kF32, kBf16, kFp8}) {
      for (const DType compute_dtype : {kF32, kBf16}) {
        dtypes.push_back(held_dtype(schemas.at(name), dtype, compute_dtype));
      }
    }
    return dtypes;
  };
  for (const char* name : {"layers/0/attention/o_proj", "layers/0/moe/experts/gate_up", "layers/0/moe/experts/down"}) {
    EXPECT_THAT(held(name), ElementsAre(kF32, kBf16, kBf16, kBf16, kFp8, kFp8)) << name;
  }
  for (const char* name : {"embed_tokens", "lm_head"}) {
    EXPECT_THAT(held(name), ElementsAre(kF32, kBf16, kBf16, kBf16, kF32, kBf16)) << name;
  }
  for (const char* name : {"norm", "layers/0/attention/q_norm", "layers/0/moe/gate", "layers/0/moe/selection_bias"}) {
    EXPECT_THAT(held(name), ElementsAre(kF32, kF32, kF32, kF32, kF32, kF32)) << name;
  }
}

TEST(Parameter, IsAsLargeAsTheExpertsThatAreHere) {
  const ParameterSchemas schemas{MiniMaxM2Config()};
  Weight weight;
  const Parameter stack{
      .schema = schemas.at("layers/0/moe/experts/gate_up"), .weight = &weight, .experts = {7, 8, 200}};
  EXPECT_THAT(stack.local_shape(), ElementsAre(3, 3072, 3072));
  EXPECT_EQ(stack.storage_bytes(DType::bfloat16), 3 * 3072 * 3072 * 2);
  EXPECT_EQ(stack.storage_bytes(DType::float8_e4m3fn), 3 * 3072 * 3072 + 3 * 24 * 24 * 4);
  View1D<float> vector;
  const Parameter norm{.schema = schemas.at("norm"), .vector = &vector};
  EXPECT_EQ(norm.storage_bytes(norm.dtype()), 3072 * 4);
}

}  // namespace
}  // namespace m2::test
