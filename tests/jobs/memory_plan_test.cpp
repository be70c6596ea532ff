// SPDX-License-Identifier: Apache-2.0
#include "jobs/memory_plan.hpp"

#include <gmock/gmock.h>

#include <string>
#include <tuple>

#include "comm/one_rank.hpp"
#include "core/error.hpp"
#include "infer/fixture.hpp"
#include "infer/token_scorer.hpp"

namespace m2 {
namespace {

constexpr std::int64_t kBuffersBytes = 1 << 20;

const std::unique_ptr<Communicator> kWorld = one_rank();

Deck deck_with_limit(std::int64_t bytes) {
  Deck deck;
  deck.batch.max_sequences = 3;
  deck.memory.limit_gib = double(bytes) / double(1 << 30);
  return deck;
}

void plan_dtypes(MiniMaxM2ForCausalLM& model, DType dtype) {
  for (Parameter& parameter : model.parameters()) parameter.set_dtype(held_dtype(parameter.schema, dtype, dtype));
}

MiniMaxM2ForCausalLM planned_model(DType dtype) {
  MiniMaxM2ForCausalLM model(
      test::tiny_config(),
      {.backend = {}, .moe_config = {}, .moe_overrides = {}, .dtype = {}, .exec = test::exec(), .expert_parallel = {}});
  plan_dtypes(model, dtype);
  return model;
}

TEST(MemoryPlan, CountsTheWeightsAsTheyAreStored) {
  MiniMaxM2ForCausalLM model = planned_model(DType::bfloat16);
  const MemoryPlan plan =
      plan_memory(model, std::vector<std::int64_t>{10}, kBuffersBytes, deck_with_limit(1 << 28), *kWorld);
  const MiniMaxM2Config& config = model.config();
  // In float32: the router, its bias, and the norms.
  const std::int64_t layer_float32 = std::int64_t(config.num_local_experts) * (config.hidden_size + 1) +
                                     2 * config.hidden_size +
                                     (config.num_attention_heads + config.num_key_value_heads) * config.head_dim;
  const std::int64_t in_float32 = config.num_hidden_layers * layer_float32 + config.hidden_size;
  EXPECT_EQ(plan.weight_bytes.at(DType::float32), 4 * in_float32);
  EXPECT_EQ(plan.weight_bytes.at(DType::bfloat16), 2 * (config.num_parameters() - in_float32));
}

class MemoryPlanOf : public ::testing::TestWithParam<std::tuple<GemmProvider, DType>> {};

INSTANTIATE_TEST_SUITE_P(Providers, MemoryPlanOf,
                         ::testing::Combine(::testing::Values(GemmProvider::automatic, GemmProvider::kokkos_kernels,
                                                              GemmProvider::onednn),
                                            ::testing::Values(DType::float32, DType::bfloat16)),
                         [](const auto& of) {
                           return std::string(name(std::get<0>(of.param))) + "_" +
                                  std::string(name(std::get<1>(of.param)));
                         });

TEST_P(MemoryPlanOf, BuffersAreThoseOfTheLoadedModel) {
  const auto [provider, dtype] = GetParam();
  const std::string_view refusal = gemm_refusal(resolve(provider), dtype, dtype);
  if (!refusal.empty()) GTEST_SKIP() << refusal;
  ModelOptions options;
  options.backend.linear = options.backend.experts = provider;
  options.dtype = dtype;
  options.exec = test::exec();
  MiniMaxM2ForCausalLM planned(test::tiny_config(), options);
  plan_dtypes(planned, dtype);
  const auto loaded = MiniMaxM2ForCausalLM::from_config(test::tiny_config(), options);
  EXPECT_EQ(planned.workspace_bytes(64, 4), loaded.workspace_bytes(64, 4));
  EXPECT_EQ(TokenScorer::workspace_bytes(planned, 64), TokenScorer::workspace_bytes(loaded, 64));
}

TEST(MemoryPlan, TheCacheHoldsTheLongestThatRunAtOnce) {
  MiniMaxM2ForCausalLM model = planned_model(DType::float32);
  const std::vector<std::int64_t> lengths{10, 65, 129, 1, 64, 100};  // pages 1, 2, 3, 1, 1, 2
  const MemoryPlan plan = plan_memory(model, lengths, kBuffersBytes, deck_with_limit(1 << 28), *kWorld);
  EXPECT_EQ(plan.kv_pages, 3 + 2 + 2);
  EXPECT_EQ(plan.kv_bytes, 7 * KVCache::page_bytes(model.config(), DType::float32));
  EXPECT_EQ(plan.longest, 129);
  EXPECT_EQ(plan.max_sequences, 3);
  EXPECT_EQ(plan_memory(model, std::vector<std::int64_t>{5}, 0, deck_with_limit(1 << 28), *kWorld).max_sequences, 1);
  EXPECT_EQ(plan_memory(model, std::vector<std::int64_t>{0}, 0, deck_with_limit(1 << 28), *kWorld).kv_pages, 1);
}

TEST(MemoryPlan, TheCacheShrinksToTheMemoryButHoldsOneSequence) {
  MiniMaxM2ForCausalLM model = planned_model(DType::float32);
  const std::vector<std::int64_t> lengths{129, 129, 129};
  const std::int64_t page_bytes = KVCache::page_bytes(model.config(), DType::float32);
  std::int64_t weights = 0;
  for (const Parameter& parameter : model.parameters()) weights += parameter.storage_bytes(DType::float32);
  const auto plan_with = [&](std::int64_t pages) {
    return plan_memory(model, lengths, kBuffersBytes,
                       deck_with_limit(weights + kBuffersBytes + pages * page_bytes + page_bytes / 2), *kWorld);
  };
  EXPECT_EQ(plan_with(20).kv_pages, 9);
  EXPECT_EQ(plan_with(4).kv_pages, 4);
  EXPECT_NO_THROW(require_memory(plan_with(3)));
  const MemoryPlan too_small = plan_with(2);
  EXPECT_EQ(too_small.kv_pages, 3);
  try {
    require_memory(too_small);
    FAIL() << "no Error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::MatchesRegex("not enough memory: .* are needed \\(weights .*, buffers 1.0 MB, "
                                                      "KV cache .* for 192 positions\\), .* are available\n.*"));
  }
}

}  // namespace
}  // namespace m2
