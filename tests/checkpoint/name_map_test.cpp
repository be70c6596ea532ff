// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/name_map.hpp"

#include <gmock/gmock.h>

#include <ctime>
#include <unordered_map>

#include "checkpoint/match_tensors.hpp"
#include "core/error.hpp"

namespace m2 {
namespace {

using ::testing::ElementsAre;
using ::testing::ThrowsMessage;

MiniMaxM2Config ragged_config() {
  MiniMaxM2Config config;
  config.hidden_size = 192;
  config.intermediate_size = 160;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 64;
  config.num_local_experts = 3;
  config.vocab_size = 384;
  return config;
}

StoredTensor tensor_of(const MiniMaxM2Config& config, const std::string& name, DType dtype = DType::bfloat16) {
  return stored_tensor(ParameterSchemas(config).at(name), dtype);
}

TEST(NameMap, GivesEachParameterItsPublishedName) {
  const auto names = [](const std::string& name) {
    return published_names(ParameterSchemas(ragged_config()).at(name));
  };
  EXPECT_THAT(names("embed_tokens"), ElementsAre("model.embed_tokens.weight"));
  EXPECT_THAT(names("norm"), ElementsAre("model.norm.weight"));
  EXPECT_THAT(names("lm_head"), ElementsAre("lm_head.weight"));
  EXPECT_THAT(names("layers/1/input_norm"), ElementsAre("model.layers.1.input_layernorm.weight"));
  EXPECT_THAT(names("layers/1/post_attention_norm"), ElementsAre("model.layers.1.post_attention_layernorm.weight"));
  for (const std::string matrix : {"q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm"}) {
    EXPECT_THAT(names("layers/0/attention/" + matrix), ElementsAre("model.layers.0.self_attn." + matrix + ".weight"));
  }
  EXPECT_THAT(names("layers/1/moe/gate"), ElementsAre("model.layers.1.block_sparse_moe.gate.weight"));
  EXPECT_THAT(names("layers/1/moe/selection_bias"),
              ElementsAre("model.layers.1.block_sparse_moe.e_score_correction_bias"));
}

TEST(NameMap, StacksGateAboveUpExpertByExpert) {
  const StoredTensor gate_up = tensor_of(ragged_config(), "layers/1/moe/experts/gate_up");
  EXPECT_THAT(gate_up.shape, ElementsAre(3, 320, 192));
  EXPECT_THAT(gate_up.part_shape(), ElementsAre(160, 192));
  const std::string experts = "model.layers.1.block_sparse_moe.experts.";
  EXPECT_THAT(gate_up.parts, ElementsAre(experts + "0.w1.weight", experts + "0.w3.weight", experts + "1.w1.weight",
                                         experts + "1.w3.weight", experts + "2.w1.weight", experts + "2.w3.weight"));
  const StoredTensor down = tensor_of(ragged_config(), "layers/1/moe/experts/down");
  EXPECT_THAT(down.shape, ElementsAre(3, 192, 160));
  EXPECT_THAT(down.parts, ElementsAre(experts + "0.w2.weight", experts + "1.w2.weight", experts + "2.w2.weight"));
}

TEST(NameMap, RefusesANameThatNoModelHas) {
  const auto names = [](const std::string& name) {
    return [name] { published_names({name, ParameterKind::norm, {64}}); };
  };
  for (const std::string name : {"layers/1/attention/rope", "layers/1", "layers/", "head"}) {
    EXPECT_THAT(names(name), ThrowsMessage<Error>("'" + name + "' has no name in published checkpoints"));
  }
}

TEST(StoredTensor, ScalesOfRaggedBlocksStayWithinTheirPart) {
  // 160 rows are two blocks for the gate and two for the up projection; 320 rows in one piece would be three.
  const StoredTensor gate_up =
      scales_of(tensor_of(ragged_config(), "layers/0/moe/experts/gate_up", DType::float8_e4m3fn));
  EXPECT_EQ(gate_up.name, "layers/0/moe/experts/gate_up_scale_inv");
  EXPECT_EQ(gate_up.dtype, DType::float32);
  EXPECT_TRUE(gate_up.is_scale);
  EXPECT_THAT(gate_up.shape, ElementsAre(3, 4, 2));
  EXPECT_THAT(gate_up.part_shape(), ElementsAre(2, 2));
  EXPECT_EQ(gate_up.num_slabs(), 3);
  EXPECT_EQ(gate_up.slab_bytes(), 4 * 2 * sizeof(float));
  EXPECT_EQ(gate_up.parts[1], "model.layers.0.block_sparse_moe.experts.0.w3.weight_scale_inv");
  EXPECT_THAT(scales_of(tensor_of(ragged_config(), "layers/0/attention/k_proj")).shape, ElementsAre(1, 2));
  for (const StoredTensor& tensor : {gate_up, tensor_of(ragged_config(), "norm")}) {
    EXPECT_THAT([&] { scales_of(tensor); },
                ThrowsMessage<Error>("'" + tensor.name + "' cannot be stored as FP8 blocks"));
  }
}

TEST(StoredTensor, HasAPartForEachExpertAndRowPart) {
  const ParameterSchemas schemas{MiniMaxM2Config()};
  for (const ParameterSchema& schema : schemas.list()) {
    const StoredTensor tensor = stored_tensor(schema, DType::bfloat16);
    EXPECT_EQ(tensor.num_values(), tensor.num_part_values() * std::int64_t(tensor.parts.size())) << tensor.name;
    EXPECT_EQ(std::size_t(tensor.num_slabs() * tensor.num_row_parts), tensor.parts.size()) << tensor.name;
  }
}

// All names of the released model, without its data: found, checked and put in order in less than two seconds.
TEST(NameMap, MatchesTheReleasedModelQuickly) {
  MiniMaxM2Config config;
  config.quantization.emplace();
  std::unordered_map<std::string, TensorEntry> entries;
  const ParameterSchemas schemas(config);
  for (const ParameterSchema& schema : schemas.list()) {
    std::vector<StoredTensor> tensors;
    append_with_scales(tensors, stored_tensor(schema, schema.may_be_fp8() ? DType::float8_e4m3fn : DType::bfloat16));
    for (const StoredTensor& tensor : tensors) {
      for (const std::string& part : tensor.parts) entries[part] = {part, tensor.dtype, tensor.part_shape()};
    }
  }
  EXPECT_EQ(entries.size(), 96'103u);
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries) names.push_back(name);

  const std::clock_t start = std::clock();  // of the processor: other programs do not count
  const auto tensors = match_tensors(config, Naming::published, "model", names, [&](const std::string& name) {
    const auto found = entries.find(name);
    return found == entries.end() ? std::nullopt : std::optional(FileEntry{&found->second, "file"});
  });
  const double elapsed_seconds = double(std::clock() - start) / CLOCKS_PER_SEC;
  EXPECT_EQ(tensors.size(), 3u + 62 * (12 + 6));
  std::uint64_t bytes = 0;
  for (const StoredTensor& tensor : tensors) bytes += tensor.size_bytes();
  // The released files less what their float32 gates (62 * (256 * 3072 + 256) values) need beyond bfloat16.
  EXPECT_EQ(bytes, 230'121'630'720u - 62u * (256u * 3072u + 256u) * 2u);
  EXPECT_LT(elapsed_seconds, 2);
}

}  // namespace
}  // namespace m2
