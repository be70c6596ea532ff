// SPDX-License-Identifier: Apache-2.0
// The switches of BackendConfig: what each changes, and what is refused.
#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>

#include "model/fixture.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Changes of rounding only: close to the default, but not equal.
TEST(Backend, ParitySwitchesChangeLittle) {
  const Fixture fixture("tiny-bf16");
  const auto logits = [&](const BackendConfig& backend) {
    return to_host(fixture.model(DType::bfloat16, backend).forward(fixture.input_ids()).logits_BNV);
  };
  const auto plain = logits({});
  for (const BackendConfig& backend :
       {BackendConfig{.rms_norm = RmsNormOrder::cast_first}, BackendConfig{.rope_tables = Precision::bfloat16},
        BackendConfig{.gate_precision = Precision::bfloat16}}) {
    const auto other = logits(backend);
    EXPECT_FALSE(same_bits(other, plain));
    EXPECT_LT(mean_kl(plain, other, 384), 1e-3);
  }
}

TEST(Backend, WeightBeforeDownIsTheSameMathematics) {
  const Fixture fixture("tiny-f32");
  const auto plain = to_host(fixture.model(DType::float32).forward(fixture.input_ids()).logits_BNV);
  auto model = MiniMaxM2ForCausalLM::from_pretrained(
      fixture.folder, {.backend = {},
                       .moe_config = {},
                       .moe_overrides = MoEOverrides{{"apply_router_weight_after_down", "false"}},
                       .dtype = DType::float32,
                       .exec = exec()});
  const auto other = to_host(model.forward(fixture.input_ids()).logits_BNV);
  EXPECT_FALSE(same_bits(other, plain));
  EXPECT_TRUE(all_close(other, plain, 2e-5 * max_abs(plain)));
}

TEST(Backend, FakeBalancedGateIgnoresTheRouter) {
  const Fixture fixture("tiny-f32");
  auto model = fixture.model(DType::float32, {.fake_balanced_gate = true});
  const auto before = to_host(model.forward(fixture.input_ids()).logits_BNV);
  for (Block& block : model.model.layers) Kokkos::deep_copy(exec(), block.mlp.gate.weight.values<float>(), 1.0f);
  EXPECT_TRUE(same_bits(to_host(model.forward(fixture.input_ids()).logits_BNV), before));
}

// The number of tokens of each expert of each layer: even without noise, otherwise not, and no token is lost.
TEST(Backend, FakeGateNoiseSpreadsTheTokensUnevenly) {
  const Fixture fixture("tiny-f32");
  const InputIds input = fixture.input_ids();
  std::vector<std::vector<float>> logits;
  for (const float noise : {0.0f, 0.5f, 1.0f, 1.0f}) {
    auto model = fixture.model(DType::float32, {.fake_balanced_gate = true, .fake_gate_noise = noise});
    model.model.count_expert_load(exec());
    logits.push_back(to_host(model.forward(input).logits_BNV));
    for (const std::vector<std::int64_t>& load : model.model.expert_load(exec())) {
      const std::int64_t chosen = std::ssize(input.ids) * model.config().num_experts_per_tok;
      EXPECT_EQ(std::accumulate(load.begin(), load.end(), std::int64_t{0}), chosen);
      EXPECT_EQ(std::ranges::count(load, chosen / model.config().num_local_experts) == std::ssize(load), noise == 0.0f)
          << noise;
    }
  }
  EXPECT_FALSE(same_bits(logits[1], logits[0]));
  EXPECT_FALSE(same_bits(logits[2], logits[1]));
  EXPECT_TRUE(same_bits(logits[3], logits[2]));
}

TEST(Backend, WhatAProviderCannotDoIsSaid) {
  const Fixture fixture("tiny-fp8");
  const auto forward = [&](const BackendConfig& backend) {
    fixture.model(DType::bfloat16, backend).forward(fixture.input_ids());
  };
  const std::string message = "onednn does not multiply bfloat16 activations with float8_e4m3fn weights";
  EXPECT_THAT([&] { forward({.experts = GemmProvider::onednn}); },
              ThrowsMessage<Error>(HasSubstr("backend.experts: " + message)));
  // Without AVX-512 it does not multiply bfloat16 weights, either.
  EXPECT_THAT([&] { forward({.linear = GemmProvider::onednn}); },
              ThrowsMessage<Error>(HasSubstr("backend.linear: onednn does not multiply bfloat16 activations with ")));
}

}  // namespace
}  // namespace m2::test
