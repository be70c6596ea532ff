// SPDX-License-Identifier: Apache-2.0
// Models whose weights lie in panels: which do, that nothing about the model changes, and that they are saved as rows.
#include <gmock/gmock.h>

#include <filesystem>
#include <string>
#include <vector>

#include "io/temporary_folder.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/panels/panel_gemm.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

using ::testing::UnorderedElementsAre;

MiniMaxM2Config config_that_fits(bool is_fp8) {
  MiniMaxM2Config config;
  config.hidden_size = 192;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 64;
  config.rotary_dim = 32;
  config.intermediate_size = 128;
  config.num_local_experts = 8;
  config.num_experts_per_tok = 2;
  config.vocab_size = 320;
  config.eos_token_id.clear();
  if (is_fp8) config.quantization.emplace();
  return config;
}

class InterleavedWeights : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (panel_kernel() == nullptr) GTEST_SKIP() << "this processor has no vector units that panels are for";
  }

  static MiniMaxM2ForCausalLM make(const ModelOptions& options = {}) {
    ModelOptions with_exec = options;
    with_exec.exec = exec();
    return MiniMaxM2ForCausalLM::from_config(config_that_fits(GetParam()), with_exec);
  }

  static InputIds ids(int count) {
    InputIds input{.num_sequences = 1, .length = count, .ids = {}};
    for (int i = 0; i < count; ++i) input.ids.push_back((i * 37 + 11) % 320);
    return input;
  }

  static std::vector<float> logits(MiniMaxM2ForCausalLM& model, int count = 40) {
    return to_host(model.forward(ids(count)).logits_BNV);
  }
};

INSTANTIATE_TEST_SUITE_P(Dtypes, InterleavedWeights, ::testing::Bool(),
                         [](const auto& is_fp8) { return is_fp8.param ? "float8" : "bfloat16"; });

TEST_P(InterleavedWeights, AreAllThatGemmReads) {
  auto model = make();
  std::vector<std::string> rows;
  for (const Parameter& parameter : model.parameters()) {
    if (parameter.weight && parameter.weight->layout() == WeightLayout::rows) rows.push_back(parameter.name());
  }
  EXPECT_THAT(rows, UnorderedElementsAre("embed_tokens", "layers/0/moe/gate", "layers/1/moe/gate"));
}

TEST_P(InterleavedWeights, AreOnlyForBfloat16AndTheProviderKokkos) {
  const std::string_view refusal = gemm_refusal(GemmProvider::kokkos_kernels, DType::bfloat16, DType::bfloat16);
  if (!refusal.empty()) GTEST_SKIP() << refusal;
  for (const ModelOptions& options :
       {ModelOptions{.dtype = DType::float32},
        ModelOptions{.backend = {.linear = GemmProvider::kokkos_kernels, .experts = GemmProvider::kokkos_kernels}}}) {
    auto model = make(options);
    for (const Parameter& parameter : model.parameters()) {
      if (parameter.weight == nullptr) continue;
      EXPECT_EQ(parameter.weight->layout(), WeightLayout::rows) << parameter.name();
    }
  }
  auto model = make({.backend = {.linear = GemmProvider::kokkos_kernels}});
  EXPECT_EQ(model.lm_head.layout(), WeightLayout::rows);
  EXPECT_EQ(model.model.layers[1].mlp.experts.down.layout(), WeightLayout::panels);
}

// The two multiply in other orders, and in panels the first half of an expert is not rounded in between. Each of the
// 2 x 4 branches that are added to the residual stream is rounded to bfloat16 a few times, as in rows.
TEST_P(InterleavedWeights, ChangeLogitsByRoundingsOnly) {
  auto model = make();
  const auto interleaved = logits(model);
  model.deinterleave_weights();
  const auto in_rows = logits(model);
  EXPECT_FALSE(same_bits(interleaved, in_rows))
      << "rows were multiplied as if they were panels, or nothing was interleaved";
  EXPECT_TRUE(all_close(interleaved, in_rows, 8 * 0x1p-8 * max_abs(in_rows)));
  model.interleave_weights();
  EXPECT_TRUE(same_bits(logits(model), interleaved));
}

TEST_P(InterleavedWeights, GiveATokenTheSameBitsInChunks) {
  auto model = make();
  const auto whole = logits(model, 250);
  for (const int chunk : {1, 2, 5, 100}) {
    KVCache cache = model.make_cache(1, 250);
    const int sequence = cache.add_sequence();
    std::vector<float> pieces;
    for (int begin = 0; begin < 250; begin += chunk) {
      InputIds part = ids(250);
      part.length = std::min(chunk, 250 - begin);
      part.ids = {part.ids.begin() + begin, part.ids.begin() + begin + part.length};
      const auto piece = to_host(model.forward(part, {.cache = &cache, .cache_sequences = {sequence}}).logits_BNV);
      pieces.insert(pieces.end(), piece.begin(), piece.end());
    }
    EXPECT_TRUE(same_bits(pieces, whole)) << "chunks of " << chunk;
  }
}

TEST_P(InterleavedWeights, AreSavedAsRowsAndLoadedIntoPanels) {
  const TemporaryFolder folder;
  auto model = make();
  const auto expected = logits(model);
  model.save_pretrained(folder / "interleaved");
  model.deinterleave_weights();
  model.save_pretrained(folder / "rows");
  for (const auto& entry : std::filesystem::directory_iterator(folder / "rows")) {
    const std::string file = entry.path().filename();
    EXPECT_EQ(read_bytes(folder / ("interleaved/" + file)), read_bytes(entry.path())) << file;
  }
  auto loaded = MiniMaxM2ForCausalLM::from_pretrained(folder / "interleaved", {.exec = exec()});
  EXPECT_EQ(loaded.model.layers[0].mlp.experts.gate_up.layout(), WeightLayout::panels);
  EXPECT_TRUE(same_bits(logits(loaded), expected));
}

// float32 weights of a model that computes in bfloat16 are rounded while they are loaded, and then lie in panels.
TEST(InterleavedWeightsOfFloat32, AreRoundedAndInterleaved) {
  if (panel_kernel() == nullptr) GTEST_SKIP() << "this processor has no vector units that panels are for";
  const TemporaryFolder folder;
  auto wide = MiniMaxM2ForCausalLM::from_config(config_that_fits(false), {.dtype = DType::float32, .exec = exec()});
  wide.save_pretrained(folder / "wide");
  auto model = MiniMaxM2ForCausalLM::from_pretrained(folder / "wide", {.dtype = DType::bfloat16, .exec = exec()});
  EXPECT_EQ(model.lm_head.layout(), WeightLayout::panels);
  model.deinterleave_weights();
  EXPECT_EQ(to_host(model.lm_head.values<Bf16>()), to_host(to_device<Bf16>(to_host(wide.lm_head.values<float>()))));
}

}  // namespace
}  // namespace m2::test
