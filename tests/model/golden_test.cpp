// SPDX-License-Identifier: Apache-2.0
// The model against transformers 5.12.1, on three checkpoints: logits, hidden states, routing, padding, greedy tokens.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "kernels/residual_add.hpp"
#include "kernels/rms_norm.hpp"
#include "model/fixture.hpp"

namespace m2::test {
namespace {

// The reference's own float32 rounding differs from ours in the order of sums only.
constexpr double kFloatTolerance = 2e-5;

// bfloat16 rounds to nearest with unit 2^-9. A token meets 12 roundings in each block (two norms, q/k/v, RoPE,
// attention, o_proj, gate_up, SwiGLU, down, combine, two residual additions), and two more outside; were all of them to
// add up:
double bf16_bound(int num_layers) { return std::ldexp(12.0 * num_layers + 2, -9); }

class Golden : public ::testing::TestWithParam<const char*> {
 protected:
  const Fixture fixture{GetParam()};

  static double relative_bound(std::span<const float> expected, double relative) {
    return relative * max_abs(expected);
  }
};

INSTANTIATE_TEST_SUITE_P(Checkpoints, Golden, ::testing::Values("tiny-f32", "tiny-bf16", "tiny-fp8"),
                         [](const auto& info) {
                           std::string name = info.param;
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

TEST_P(Golden, Float32WithEveryProvider) {
  const auto logits = fixture.floats("logits");
  for (const LinearBackend linear : {LinearBackend::kokkos_kernels, LinearBackend::onednn}) {
    const bool is_float32 = std::string_view(GetParam()) == "tiny-f32";
    if (linear == LinearBackend::onednn && !is_float32) continue;  // it multiplies float by float32 only
    auto model = fixture.model(DType::float32, {.linear = linear, .experts = linear});
    const CausalLMOutput out = model.forward(fixture.input_ids());
    EXPECT_TRUE(all_close(to_host(out.logits_BNV), logits, relative_bound(logits, kFloatTolerance))) << name(linear);
  }
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

// Mean KL(reference || ours) over all tokens, in nats.
double mean_kl(std::span<const float> reference, std::span<const float> ours, std::size_t width) {
  const auto log_softmax = [width](std::span<const float> row) {
    std::vector<double> out(row.begin(), row.end());
    const double largest = *std::ranges::max_element(out);
    double sum = 0;
    for (const double value : out) sum += std::exp(value - largest);
    for (double& value : out) value -= largest + std::log(sum);
    return out;
  };
  double total = 0;
  for (std::size_t begin = 0; begin < reference.size(); begin += width) {
    const auto p = log_softmax(reference.subspan(begin, width)), q = log_softmax(ours.subspan(begin, width));
    for (std::size_t v = 0; v < width; ++v) total += std::exp(p[v]) * (p[v] - q[v]);
  }
  return total / double(reference.size() / width);
}

TEST_P(Golden, Bfloat16StaysWithinItsRounding) {
  auto model = fixture.model(DType::bfloat16);
  const CausalLMOutput out = model.forward(fixture.input_ids(), {.output_hidden_states = true});
  const double bound = bf16_bound(model.config().num_hidden_layers);
  const auto expected = fixture.floats("logits"), actual = to_host(out.logits_BNV);
  EXPECT_TRUE(all_close(actual, expected, relative_bound(expected, bound)));
  for (std::size_t i = 0; i < out.hidden_states.size(); ++i) {
    const auto hidden = fixture.floats("hidden." + std::to_string(i));
    EXPECT_TRUE(all_close(to_host(out.hidden_states[i]), hidden, relative_bound(hidden, bound))) << "hidden." << i;
  }
  const double kl = mean_kl(expected, actual, model.config().vocab_size);
  RecordProperty("mean_kl", std::to_string(kl));
  EXPECT_LT(kl, 1e-3);
  EXPECT_GE(kl, 0.0);
}

// What the router of block `layer` answers when the block is given the reference's residual stream.
struct Routing {
  std::vector<float> logits, weight;
  std::vector<int> expert;
};

Routing route_reference(MiniMaxM2ForCausalLM& model, const Fixture& fixture, int layer) {
  const MiniMaxM2Config& config = model.config();
  const InputIds input = fixture.input_ids();
  const std::int64_t num_tokens = std::ssize(input.ids);
  Workspace workspace(exec(), 64 << 20);
  KVCache cache = model.make_cache(input.num_sequences, input.length);
  PackedTokens tokens;
  for (int i = 0; i < num_tokens; ++i) tokens.add(input.ids[i], i % input.length, i / input.length, i % input.length);
  for (int b = 0; b < input.num_sequences; ++b) EXPECT_TRUE(cache.reserve(cache.add_sequence(), input.length));
  PackedBatch batch(num_tokens, config.rotary_dim, workspace);
  batch.fill(exec(), tokens, cache, config.rope_theta, /*round_rope=*/false);
  const Activations<float> buffers(config, num_tokens, /*gemm_workspace_bytes=*/0, workspace);

  const Block& block = model.model.layers[layer];
  const auto eps = float(config.rms_norm_eps);
  const auto hidden_TD =
      m2::test::to_device<float>(fixture.floats("hidden." + std::to_string(layer)), num_tokens, config.hidden_size);
  rms_norm<float>(exec(), hidden_TD, block.input_layernorm, eps, RmsNormOrder::cast_last, buffers.normed_TD);
  block.self_attn.forward<float>(exec(), buffers.normed_TD, batch, cache.layer<float>(layer), buffers.attention,
                                 buffers.gemm_workspace, buffers.branch_TD);
  residual_add<float>(exec(), buffers.branch_TD, hidden_TD);
  rms_norm<float>(exec(), hidden_TD, block.post_attention_layernorm, eps, RmsNormOrder::cast_last, buffers.normed_TD);
  block.mlp.gate.forward<float>(exec(), buffers.normed_TD, batch.skip_experts_T, buffers.moe, buffers.gemm_workspace);
  return {.logits = to_host(buffers.moe.logits_TE),
          .weight = to_host(buffers.moe.weight_TK),
          .expert = to_host_as_is(buffers.moe.expert_TK)};
}

TEST_P(Golden, RoutingOfEveryBlock) {
  auto model = fixture.model(DType::float32);
  const int top_k = model.config().num_experts_per_tok;
  for (int layer = 0; layer < model.config().num_hidden_layers; ++layer) {
    Routing routing = route_reference(model, fixture, layer);
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

}  // namespace
}  // namespace m2::test
