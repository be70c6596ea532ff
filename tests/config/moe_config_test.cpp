// SPDX-License-Identifier: Apache-2.0
#include "config/moe_config.hpp"

#include <gmock/gmock.h>

#include "core/error.hpp"

namespace m2 {
namespace {

using ::testing::ThrowsMessage;

TEST(MoEConfig, FollowsTheModel) {
  MiniMaxM2Config model;
  model.hidden_size = 64;
  model.intermediate_size = 96;
  model.num_local_experts = 8;
  model.num_experts_per_tok = 3;
  model.dtype = DType::float32;
  MoEConfig expected;
  expected.dim = 64;
  expected.moe_inter_dim = 96;
  expected.n_routed_experts = 8;
  expected.n_activated_experts = 3;
  expected.dtype = DType::float32;
  EXPECT_EQ(MoEConfig::from(model), expected);
  model.scoring_func = ScoringFunc::softmax;
  expected.score_func = ScoringFunc::softmax;
  expected.softmax_before_topk = true;
  EXPECT_EQ(MoEConfig::from(model), expected);
}

// The values NeMo Automodel forces for MiniMax-M2.
TEST(MoEConfig, HasTheDefaultsOfTheReference) {
  const MoEConfig moe = MoEConfig::from(MiniMaxM2Config());
  EXPECT_EQ(moe.n_shared_experts, 0);
  EXPECT_EQ(moe.route_scale, 1.0);
  EXPECT_EQ(moe.gate_bias_update_factor, 1e-3);
  EXPECT_EQ(moe.aux_loss_coeff, 0.0);
  EXPECT_TRUE(moe.norm_topk_prob);
  EXPECT_TRUE(moe.train_gate);
  EXPECT_TRUE(moe.force_e_score_correction_bias);
  EXPECT_TRUE(moe.apply_router_weight_after_down);  // the one difference: it rounds less
}

TEST(MoEConfig, EveryFieldIsReadBackFromItsText) {
  for (const auto& [key, value] : MoEConfig().fields()) {
    MoEConfig moe;
    moe.set(key, value);
    EXPECT_EQ(moe, MoEConfig()) << key;
  }
  EXPECT_EQ(MoEConfig().fields().size(), 20u);
}

TEST(MoEConfig, OverridesChangeWhatTheyName) {
  MoEConfig moe, expected;
  moe.apply_overrides({{"n_activated_experts", "4"},
                       {"route_scale", "2.5"},
                       {"norm_topk_prob", "false"},
                       {"score_func", "softmax"},
                       {"dtype", "float32"},
                       {"expert_activation", "geglu"}});
  expected.n_activated_experts = 4;
  expected.route_scale = 2.5;
  expected.norm_topk_prob = false;
  expected.score_func = ScoringFunc::softmax;
  expected.dtype = DType::float32;
  expected.expert_activation = "geglu";
  EXPECT_EQ(moe, expected);
}

TEST(MoEConfig, OverridesWithAWrongKeyOrTypeAreRefused) {
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {"n_activated_expert", "4", "unknown key 'n_activated_expert'; did you mean 'n_activated_experts'?"},
      {"colour", "red", "unknown key 'colour'"},
      {"n_activated_experts", "many", "key 'n_activated_experts': found 'many', expected a whole number"},
      {"n_activated_experts", "4.0", "key 'n_activated_experts': found '4.0', expected a whole number"},
      {"n_activated_experts", "99999999999", "key 'n_activated_experts': found '99999999999', expected a whole number"},
      {"route_scale", "nan", "key 'route_scale': found 'nan', expected a number"},
      {"norm_topk_prob", "yes", "key 'norm_topk_prob': found 'yes', expected true or false"},
      {"score_func", "tanh", "key 'score_func': found 'tanh', expected one of sigmoid, softmax"},
      {"dtype", "int8", "key 'dtype': found 'int8', expected one of float32, bfloat16"},
  };
  for (const auto& [key, value, message] : cases) {
    EXPECT_THAT([&] { MoEConfig().set(key, value); }, ThrowsMessage<Error>(std::string("MoEConfig: ") + message));
  }
}

TEST(MoEConfig, WhatCannotBeHonouredIsRefused) {
  const std::tuple<MoEOverrides, const char*> cases[] = {
      {{{"n_shared_experts", "1"}}, "key 'n_shared_experts': found 1, expected 0: MiniMax-M2 has no shared expert"},
      {{{"n_activated_experts", "0"}}, "key 'n_activated_experts': found 0, expected 1 to n_routed_experts (256)"},
      {{{"n_activated_experts", "257"}}, "key 'n_activated_experts': found 257, expected 1 to n_routed_experts (256)"},
      {{{"n_expert_groups", "8"}}, "key 'n_expert_groups': found 8, expected 0 or 1: no groups"},
      {{{"n_limited_groups", "-1"}}, "key 'n_limited_groups': found -1, expected 0 or 1: no groups"},
      {{{"softmax_before_topk", "true"}},
       "key 'softmax_before_topk': found true, expected false with score_func sigmoid"},
      {{{"score_func", "softmax"}},
       "key 'softmax_before_topk': found false, expected true with score_func softmax: the selection bias is added to "
       "the softmax of all logits"},
      {{{"route_scale", "0"}}, "key 'route_scale': found 0, expected a number above 0, at most 1e6"},
      {{{"gate_bias_update_factor", "-0.01"}},
       "key 'gate_bias_update_factor': found -0.01, expected a number from 0 to 1"},
      {{{"gate_bias_update_factor", "1.5"}}, "key 'gate_bias_update_factor': found 1.5, expected a number from 0 to 1"},
      {{{"aux_loss_coeff", "-0.01"}}, "key 'aux_loss_coeff': found -0.01, expected a number from 0 to 1e6"},
      {{{"force_e_score_correction_bias", "false"}, {"gate_bias_update_factor", "0"}},
       "key 'force_e_score_correction_bias': found false, expected true: MiniMax-M2's gate has a selection bias, also "
       "when "
       "it is not updated"},
      {{{"router_bias", "true"}}, "key 'router_bias': found true, expected false: MiniMax-M2's gate has no bias"},
      {{{"expert_bias", "true"}}, "key 'expert_bias': found true, expected false: MiniMax-M2's experts have no bias"},
      {{{"expert_activation", "relu2"}}, "key 'expert_activation': found relu2, expected swiglu"},
      {{{"dim", "64"}}, "key 'dim': found 64, expected 3072, the model's hidden_size; change it there"},
      {{{"dim", "0"}}, "key 'dim': found 0, expected at least 1"},
      {{{"moe_inter_dim", "64"}},
       "key 'moe_inter_dim': found 64, expected 1536, the model's intermediate_size; change it there"},
      {{{"n_routed_experts", "512"}},
       "key 'n_routed_experts': found 512, expected 256, the model's num_local_experts; change it there"},
      {{{"n_activated_experts", "4"}},
       "key 'n_activated_experts': found 4, expected 8, the model's num_experts_per_tok; change it there"},
      {{{"dtype", "float32"}}, "key 'dtype': found float32, expected bfloat16, the model's dtype; change it there"},
  };
  for (const auto& [overrides, message] : cases) {
    EXPECT_THAT([&] { resolve_moe_config(MiniMaxM2Config(), std::nullopt, overrides); },
                ThrowsMessage<Error>(std::string("MoEConfig: ") + message));
  }
}

TEST(MoEConfig, ResolvesToEitherTheConfigOrTheOverrides) {
  const MiniMaxM2Config model;
  EXPECT_EQ(resolve_moe_config(model, std::nullopt, std::nullopt), MoEConfig::from(model));
  MoEConfig moe = MoEConfig::from(model);
  moe.route_scale = 2.5;
  EXPECT_EQ(resolve_moe_config(model, moe, std::nullopt), moe);
  EXPECT_EQ(resolve_moe_config(model, std::nullopt, MoEOverrides{{"route_scale", "2.5"}}), moe);
  EXPECT_THAT([&] { resolve_moe_config(model, moe, MoEOverrides{}); },
              ThrowsMessage<Error>("both moe_config and moe_overrides are given; give one of them"));
}

}  // namespace
}  // namespace m2
