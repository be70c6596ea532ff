// SPDX-License-Identifier: Apache-2.0
// The model against transformers 5.12.1, on three checkpoints: logits, hidden states, routing, padding, greedy tokens.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <tuple>

#include "kernels/gemm/gemm.hpp"
#include "kernels/rowwise/residual_add.hpp"
#include "kernels/rowwise/rms_norm.hpp"
#include "model/fixture.hpp"

namespace m2::test {
namespace {

// The reference's own float32 rounding differs from ours in the order of sums only.
constexpr double kFloatTolerance = 2e-5;

// bfloat16 has 8 significant bits, so that rounding to nearest changes a number by 2^-8 of it at most. A token meets 12
// roundings in each block: two norms, q/k/v, RoPE, attention, o_proj, gate_up, SwiGLU, down, combine, two residual
// additions. 7 of them come before the router, which computes in float32: a norm, q/k/v, RoPE, attention, o_proj, an
// addition, a norm. Outside are two more: embedding and final norm.
constexpr int kRoundingsOfABlock = 12, kRoundingsBeforeTheRouter = 7;

// Of the largest value, were all of the roundings to add up.
double bf16_bound(int num_roundings) { return std::ldexp(double(num_roundings), -8); }

class Golden : public ::testing::TestWithParam<const char*> {
 protected:
  const Fixture fixture{GetParam()};

  static double relative_bound(std::span<const float> expected, double relative) {
    return relative * max_abs(expected);
  }
};

INSTANTIATE_TEST_SUITE_P(Checkpoints, Golden, ::testing::Values("tiny-f32", "tiny-bf16", "tiny-fp8"),
                         [](const auto& parameter) {
                           std::string name = parameter.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST_P(Golden, Float32LogitsAndHiddenStates) {
  auto model = fixture.model(DType::float32);
  const CausalLMOutput out = model.forward(fixture.input_ids(), {.output_hidden_states = true});
  const auto logits = fixture.floats("logits");
  EXPECT_TRUE(all_close(to_host(out.logits_BNV), logits, relative_bound(logits, kFloatTolerance)));
  ASSERT_EQ(std::ssize(out.hidden_states), model.config().num_hidden_layers + 1);
  for (std::size_t i = 0; i < out.hidden_states.size(); ++i) {
    const auto expected = fixture.floats("hidden." + std::to_string(i));
    EXPECT_TRUE(all_close(to_host(out.hidden_states[i]), expected, relative_bound(expected, kFloatTolerance)))
        << "hidden." << i;
  }
}

// The providers that auto does not choose, on what each can multiply by float32: oneDNN takes neither of the others.
void expect_reference_logits(const char* checkpoint, GemmProvider linear) {
  const Fixture fixture(checkpoint);
  const auto logits = fixture.floats("logits");
  auto model = fixture.model(DType::float32, {.linear = linear, .experts = linear});
  const CausalLMOutput out = model.forward(fixture.input_ids());
  EXPECT_TRUE(all_close(to_host(out.logits_BNV), logits, kFloatTolerance * max_abs(logits)));
}

TEST_P(Golden, Float32WithKokkosKernels) {
  const std::string_view refusal = gemm_refusal(GemmProvider::kokkos_kernels, DType::float32, DType::float32);
  if (!refusal.empty()) GTEST_SKIP() << refusal;
  expect_reference_logits(GetParam(), GemmProvider::kokkos_kernels);
}

TEST(GoldenOnednn, Float32) {
  const std::string_view refusal = gemm_refusal(GemmProvider::onednn, DType::float32, DType::float32);
  if (!refusal.empty()) GTEST_SKIP() << refusal;
  expect_reference_logits("tiny-f32", GemmProvider::onednn);
}

TEST_P(Golden, PaddedOnEitherSide) {
  auto model = fixture.model(DType::float32);
  const auto mask = fixture.ints("attention_mask");
  const CausalLMOutput out =
      model.forward(fixture.input_ids("padded_ids"),
                    {.position_ids = fixture.ints("position_ids"), .attention_mask = {mask.begin(), mask.end()}});
  const auto expected = fixture.floats("padded_logits");
  const auto actual = to_host(out.logits_BNV);
  const std::size_t width = model.config().vocab_size;
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] == 0) continue;
    EXPECT_TRUE(all_close(std::span(actual).subspan(i * width, width), std::span(expected).subspan(i * width, width),
                          relative_bound(expected, kFloatTolerance)))
        << "token " << i;
  }
}

TEST_P(Golden, GreedyTokens) {
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    if (dtype == DType::bfloat16 && fixture.model(dtype).config().dtype == DType::float32) continue;
    auto model = fixture.model(dtype);
    KVCache cache = model.make_cache(1, model.config().max_position_embeddings);
    const int sequence = cache.add_sequence();
    InputIds next = fixture.input_ids("prompt_ids");
    std::vector<int> tokens = next.ids;
    const auto expected = fixture.ints("greedy_ids");
    while (tokens.size() < expected.size()) {
      const CausalLMOutput out =
          model.forward(next, {.logits_to_keep = 1, .cache = &cache, .cache_sequences = {sequence}});
      const auto logits = to_host(out.logits_BNV);
      tokens.push_back(int(std::ranges::max_element(logits) - logits.begin()));
      next = {.num_sequences = 1, .length = 1, .ids = {tokens.back()}};
    }
    // In bfloat16 two almost equal logits may change places; the float32 reference has none that close here.
    EXPECT_THAT(tokens, ::testing::ElementsAreArray(expected)) << name(dtype);
  }
}

// What the router of block `layer` answers when the block is given the residual stream `hidden`.
struct RouterAnswers {
  std::vector<float> logits, weight;
  std::vector<int> expert;
};

template <class T>
RouterAnswers route_hidden(MiniMaxM2ForCausalLM& model, const InputIds& input, int layer,
                           std::span<const float> hidden) {
  const MiniMaxM2Config& config = model.config();
  const std::int64_t num_tokens = std::ssize(input.ids);
  Workspace workspace(exec(), 64 << 20);
  KVCache cache = model.make_cache(input.num_sequences, input.length);
  PackedTokens tokens;
  for (int i = 0; i < num_tokens; ++i) tokens.add(input.ids[i], i % input.length, i / input.length, i % input.length);
  for (int b = 0; b < input.num_sequences; ++b) EXPECT_TRUE(cache.reserve(cache.add_sequence(), input.length));
  PackedBatch batch(num_tokens, config.rotary_dim, workspace);
  batch.fill(exec(), tokens, cache, config.rope_theta, /*round_rope=*/false);
  const Activations<T> buffers(model.model.config(), /*parallel=*/nullptr, num_tokens, workspace);

  const Block& block = model.model.layers[layer];
  const auto eps = float(config.rms_norm_eps);
  const auto hidden_TD = m2::test::to_device<T>(hidden, num_tokens, config.hidden_size);
  rms_norm<T>(exec(), hidden_TD, block.input_layernorm, eps, RmsNormOrder::cast_last, buffers.normed_TD);
  block.self_attn.forward<T>(exec(), buffers.normed_TD, batch, cache.layer<T>(layer), buffers.attention,
                             buffers.branch_TD);
  residual_add<T>(exec(), buffers.branch_TD, hidden_TD, hidden_TD);
  rms_norm<T>(exec(), hidden_TD, block.post_attention_layernorm, eps, RmsNormOrder::cast_last, buffers.normed_TD);
  block.mlp.gate.forward<T>(exec(), buffers.normed_TD, batch.skip_experts_T, buffers.moe.routing);
  return {.logits = to_host(buffers.moe.routing.logits_TE),
          .weight = to_host(buffers.moe.routing.weight_TK),
          .expert = to_host_as_is(buffers.moe.routing.expert_TK)};
}

TEST_P(Golden, RoutingOfEveryBlock) {
  auto model = fixture.model(DType::float32);
  const int top_k = model.config().num_experts_per_tok;
  for (int layer = 0; layer < model.config().num_hidden_layers; ++layer) {
    RouterAnswers routing =
        route_hidden<float>(model, fixture.input_ids(), layer, fixture.floats("hidden." + std::to_string(layer)));
    const auto logits = fixture.floats("router_logits." + std::to_string(layer));
    EXPECT_TRUE(all_close(routing.logits, logits, relative_bound(logits, kFloatTolerance)));
    for (std::size_t begin = 0; begin < routing.expert.size(); begin += top_k) {  // the reference is sorted by expert
      std::vector<std::pair<int, float>> row;
      for (int k = 0; k < top_k; ++k) row.emplace_back(routing.expert[begin + k], routing.weight[begin + k]);
      std::ranges::sort(row);
      for (int k = 0; k < top_k; ++k) std::tie(routing.expert[begin + k], routing.weight[begin + k]) = row[k];
    }
    EXPECT_EQ(routing.expert, fixture.ints("topk_index." + std::to_string(layer))) << "block " << layer;
    EXPECT_TRUE(all_close(routing.weight, fixture.floats("topk_weight." + std::to_string(layer)), kFloatTolerance))
        << "block " << layer;
  }
}

// How far the reference's choice of experts is from another one: the last chosen score plus bias, less the first not
// chosen.
double choice_margin(std::span<const float> logits_E, std::span<const float> bias_E, int top_k) {
  std::vector<double> choice;
  for (std::size_t e = 0; e < logits_E.size(); ++e)
    choice.push_back(1 / (1 + std::exp(-double(logits_E[e]))) + bias_E[e]);
  std::ranges::sort(choice, std::greater{});
  return choice[top_k - 1] - choice[top_k];
}

// Tokens that differ from the reference by rounding alone. One that takes other experts no longer does, and a block
// later neither do those that attend to it.
class Comparable {
 public:
  explicit Comparable(const InputIds& input)
      : length_(std::size_t(input.length)), comparable_(input.ids.size(), true) {}

  void pass_attention() {
    for (std::size_t t = 1; t < comparable_.size(); ++t) {
      if (t % length_ != 0 && !comparable_[t - 1]) comparable_[t] = false;
    }
  }

  // `ours` are experts of each token, `expected` the reference's, sorted. Rounding may lead to other ones only where
  // the choice is close: the slope of the sigmoid is at most 1/4, and both scores may move by `relative` of the largest
  // logit.
  void pass_router(std::vector<int> ours, std::span<const int> expected, std::span<const float> logits,
                   std::span<const float> bias_E, double relative) {
    const std::size_t top_k = expected.size() / comparable_.size(), num_experts = logits.size() / comparable_.size();
    for (std::size_t t = 0; t < comparable_.size(); ++t) {
      const auto row = std::span(ours).subspan(t * top_k, top_k);
      std::ranges::sort(row);
      if (!comparable_[t] || std::ranges::equal(row, expected.subspan(t * top_k, top_k))) continue;
      EXPECT_LT(choice_margin(logits.subspan(t * num_experts, num_experts), bias_E, int(top_k)),
                2 * 0.25 * relative * max_abs(logits))
          << "token " << t << " takes other experts than the reference, by more than rounding";
      comparable_[t] = false;
    }
  }

  void expect_close(std::span<const float> actual, std::span<const float> expected, double relative) const {
    ASSERT_EQ(actual.size(), expected.size());
    const std::size_t width = expected.size() / comparable_.size();
    for (std::size_t t = 0; t < comparable_.size(); ++t) {
      if (!comparable_[t]) continue;
      EXPECT_TRUE(
          all_close(actual.subspan(t * width, width), expected.subspan(t * width, width), relative * max_abs(expected)))
          << "token " << t;
    }
    EXPECT_TRUE(std::ranges::find(comparable_, true) != comparable_.end()) << "nothing was left to compare";
  }

 private:
  std::size_t length_;
  std::vector<bool> comparable_;
};

TEST_P(Golden, Bfloat16StaysWithinItsRounding) {
  auto model = fixture.model(DType::bfloat16);
  const CausalLMOutput out = model.forward(fixture.input_ids(), {.output_hidden_states = true});
  const int num_layers = model.config().num_hidden_layers;
  Comparable comparable(fixture.input_ids());
  for (int i = 0; i < num_layers; ++i) {
    SCOPED_TRACE("block " + std::to_string(i));
    const std::string number = std::to_string(i);
    const auto hidden = to_host(out.hidden_states[i]);
    const int roundings = 1 + i * kRoundingsOfABlock;
    comparable.expect_close(hidden, fixture.floats("hidden." + number), bf16_bound(roundings));
    comparable.pass_attention();
    comparable.pass_router(route_hidden<Bf16>(model, fixture.input_ids(), i, hidden).expert,
                           fixture.ints("topk_index." + number), fixture.floats("router_logits." + number),
                           to_host(model.model.layers[i].mlp.gate.selection_bias),
                           bf16_bound(roundings + kRoundingsBeforeTheRouter));
  }
  const double bound = bf16_bound(2 + num_layers * kRoundingsOfABlock);
  const auto expected = fixture.floats("logits"), actual = to_host(out.logits_BNV);
  comparable.expect_close(to_host(out.hidden_states[num_layers]),
                          fixture.floats("hidden." + std::to_string(num_layers)), bound);
  comparable.expect_close(actual, expected, bound);
  const double kl = mean_kl(expected, actual, model.config().vocab_size);  // over all tokens
  RecordProperty("mean_kl", std::to_string(kl));
  EXPECT_LT(kl, 1e-3);
  EXPECT_GE(kl, 0.0);
}

}  // namespace
}  // namespace m2::test
