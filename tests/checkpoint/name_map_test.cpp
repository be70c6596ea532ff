// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/name_map.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <ctime>
#include <unordered_map>

#include "checkpoint/match_tensors.hpp"

namespace m2 {
namespace {

using ::testing::ElementsAre;

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

NativeTensor find(const std::vector<NativeTensor>& tensors, const std::string& name) {
  return *std::ranges::find(tensors, name, &NativeTensor::name);
}

TEST(NameMap, StacksGateAboveUpExpertByExpert) {
  const auto tensors = native_tensors(ragged_config());
  const NativeTensor gate_up = find(tensors, "layers/1/moe/experts/gate_up");
  EXPECT_THAT(gate_up.shape, ElementsAre(3, 320, 192));
  EXPECT_THAT(gate_up.part_shape, ElementsAre(160, 192));
  const std::string experts = "model.layers.1.block_sparse_moe.experts.";
  EXPECT_THAT(gate_up.parts, ElementsAre(experts + "0.w1.weight", experts + "0.w3.weight", experts + "1.w1.weight",
                                         experts + "1.w3.weight", experts + "2.w1.weight", experts + "2.w3.weight"));
  const NativeTensor down = find(tensors, "layers/1/moe/experts/down");
  EXPECT_THAT(down.shape, ElementsAre(3, 192, 160));
  EXPECT_THAT(down.parts, ElementsAre(experts + "0.w2.weight", experts + "1.w2.weight", experts + "2.w2.weight"));
}

TEST(NameMap, ScalesOfRaggedBlocksStayWithinTheirPart) {
  const auto tensors = native_tensors(ragged_config());
  // 160 rows are two blocks for the gate and two for the up projection; 320 rows in one piece would be three.
  const NativeTensor gate_up = scales_of(find(tensors, "layers/0/moe/experts/gate_up"));
  EXPECT_EQ(gate_up.name, "layers/0/moe/experts/gate_up_scale_inv");
  EXPECT_THAT(gate_up.shape, ElementsAre(3, 4, 2));
  EXPECT_THAT(gate_up.part_shape, ElementsAre(2, 2));
  EXPECT_EQ(gate_up.parts[1], "model.layers.0.block_sparse_moe.experts.0.w3.weight_scale_inv");
  EXPECT_THAT(scales_of(find(tensors, "layers/0/attention/k_proj")).shape, ElementsAre(1, 2));
}

TEST(NameMap, SelectionBiasOnlyIfTheModelHasOne) {
  MiniMaxM2Config config = ragged_config();
  EXPECT_EQ(find(native_tensors(config), "layers/0/moe/selection_bias").parts[0],
            "model.layers.0.block_sparse_moe.e_score_correction_bias");
  config.use_routing_bias = false;
  EXPECT_EQ(std::ranges::count(native_tensors(config), "layers/0/moe/selection_bias", &NativeTensor::name), 0);
}

TEST(NameMap, ParametersAreThoseOfTheConfiguration) {
  const MiniMaxM2Config config;
  std::int64_t total = 0;
  for (const NativeTensor& tensor : native_tensors(config)) {
    total += tensor.num_values();
    EXPECT_EQ(tensor.num_values(), tensor.num_part_values() * std::int64_t(tensor.parts.size())) << tensor.name;
  }
  EXPECT_EQ(total, 228'689'764'864);
  EXPECT_EQ(total, config.num_parameters());
}

// All names of the released model, without its data: found, checked and put in order in less than two seconds.
TEST(NameMap, MatchesTheReleasedModelQuickly) {
  MiniMaxM2Config config;
  config.quantization.emplace();
  struct Stored {
    DType dtype;
    std::vector<std::int64_t> shape;
  };
  std::unordered_map<std::string, Stored> stored;
  for (const NativeTensor& tensor : native_tensors(config)) {
    const DType dtype = tensor.may_be_fp8 ? DType::float8_e4m3fn : DType::bfloat16;
    for (const std::string& part : tensor.parts) stored[part] = {dtype, tensor.part_shape};
    if (!tensor.may_be_fp8) continue;
    const NativeTensor scales = scales_of(tensor);
    for (const std::string& part : scales.parts) stored[part] = {DType::float32, scales.part_shape};
  }
  EXPECT_EQ(stored.size(), 96'103u);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : stored) names.push_back(name);

  const std::clock_t start = std::clock();  // of the processor: other programs do not count
  const auto tensors = match_tensors(config, Naming::published, "model", names, [&](const std::string& name) {
    const auto found = stored.find(name);
    return found == stored.end() ? std::nullopt
                                 : std::optional(FoundTensor{found->second.dtype, found->second.shape, "file"});
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
