// SPDX-License-Identifier: Apache-2.0
// Each override of the mixture of experts changes what the model computes, or is refused, or means no change.
#include <gmock/gmock.h>

#include <set>

#include "model/fixture.hpp"

namespace m2::test {
namespace {

class MoEOverride : public ::testing::Test {
 protected:
  std::vector<float> logits(const MoEOverrides& overrides) const {
    ModelOptions options;
    options.moe_overrides = overrides;
    options.exec = exec();
    return to_host(MiniMaxM2ForCausalLM::from_pretrained(fixture_.folder, options).forward(input_).logits_BNV);
  }

  const Fixture fixture_{"tiny-f32"};  // 64 wide, 8 experts of width 96, 3 a token, float32, sigmoid
  const InputIds input_ = fixture_.input_ids();
  const std::vector<float> plain_ = logits({});
};

// Of each case, the first key is what it is about; the others are what validate() wants beside it.
using Cases = std::vector<std::vector<std::pair<std::string, std::string>>>;

const Cases kEffective{{{"score_func", "softmax"}, {"softmax_before_topk", "true"}},
                       {{"norm_topk_prob", "false"}},
                       {{"route_scale", "2.5"}},
                       {{"apply_router_weight_after_down", "false"}}};

// Two words for "no groups"; the bias is kept in any case; and what acts in training only.
const Cases kWithoutEffect{
    {{"n_expert_groups", "1"}}, {{"n_limited_groups", "1"}},          {{"force_e_score_correction_bias", "false"}},
    {{"train_gate", "false"}},  {{"gate_bias_update_factor", "0.5"}}, {{"aux_loss_coeff", "0.01"}}};

const Cases kRefused{{{"dim", "32"}},
                     {{"moe_inter_dim", "48"}},
                     {{"n_routed_experts", "4"}},
                     {{"n_shared_experts", "1"}},
                     {{"n_activated_experts", "2"}},
                     {{"n_expert_groups", "2"}},
                     {{"n_limited_groups", "2"}},
                     {{"softmax_before_topk", "true"}},
                     {{"gate_bias_update_factor", "-0.5"}},
                     {{"aux_loss_coeff", "-0.01"}},
                     {{"router_bias", "true"}},
                     {{"expert_bias", "true"}},
                     {{"expert_activation", "relu2"}},
                     {{"dtype", "bfloat16"}}};

MoEOverrides overrides_of(const Cases::value_type& pairs) { return {pairs.begin(), pairs.end()}; }

TEST_F(MoEOverride, ChangesTheLogits) {
  for (const auto& pairs : kEffective) {
    EXPECT_FALSE(same_bits(logits(overrides_of(pairs)), plain_)) << pairs[0].first;
  }
}

TEST_F(MoEOverride, MayMeanNoChange) {
  for (const auto& pairs : kWithoutEffect) {
    EXPECT_TRUE(same_bits(logits(overrides_of(pairs)), plain_)) << pairs[0].first;
  }
}

TEST_F(MoEOverride, IsRefusedWhereItCannotBeHonoured) {
  for (const auto& pairs : kRefused) {
    EXPECT_THAT([&] { logits(overrides_of(pairs)); },
                ::testing::ThrowsMessage<Error>(::testing::HasSubstr("key '" + pairs[0].first + "': found ")));
  }
}

TEST_F(MoEOverride, EveryFieldIsLookedAtHere) {
  std::set<std::string> seen;
  for (const Cases& cases : {kEffective, kWithoutEffect, kRefused}) {
    for (const auto& pairs : cases) seen.insert(pairs[0].first);
  }
  for (const auto& [key, value] : MoEConfig().fields()) EXPECT_TRUE(seen.contains(key)) << key;
}

}  // namespace
}  // namespace m2::test
