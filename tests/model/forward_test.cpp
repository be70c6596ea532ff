// SPDX-License-Identifier: Apache-2.0
// The arguments of forward() and the rest of the class: what is kept, what is refused, initialisation, embeddings.
#include <gmock/gmock.h>

#include <cmath>

#include "model/fixture.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class Forward : public ::testing::Test {
 protected:
  const Fixture fixture{"tiny-f32"};
  MiniMaxM2ForCausalLM model = fixture.model(DType::float32);
  const InputIds input = fixture.input_ids();
  const std::size_t width = model.config().vocab_size;

  std::vector<float> logits(const ForwardOptions& options) { return to_host(model.forward(input, options).logits_BNV); }

  void expect_refused(const InputIds& ids, const ForwardOptions& options, const char* message) {
    EXPECT_THAT([&] { model.forward(ids, options); }, ThrowsMessage<Error>(HasSubstr(message)));
  }
};

TEST_F(Forward, KeepsTheLastLogitsOrTheListed) {
  const auto all = logits({});
  const auto last = logits({.logits_to_keep = 2});
  const auto listed = logits({.logits_positions = {5, 0, 5}});
  ASSERT_EQ(last.size(), 2 * 2 * width);
  ASSERT_EQ(listed.size(), 2 * 3 * width);
  const auto at = [&](const std::vector<float>& from, std::size_t row) {
    return std::span(from).subspan(row * width, width);
  };
  for (int b = 0; b < 2; ++b) {
    EXPECT_TRUE(same_bits(at(last, b * 2 + 0), at(all, b * 24 + 22)));
    EXPECT_TRUE(same_bits(at(last, b * 2 + 1), at(all, b * 24 + 23)));
    EXPECT_TRUE(same_bits(at(listed, b * 3 + 0), at(all, b * 24 + 5)));
    EXPECT_TRUE(same_bits(at(listed, b * 3 + 1), at(all, b * 24 + 0)));
    EXPECT_TRUE(same_bits(at(listed, b * 3 + 2), at(all, b * 24 + 5)));
  }
}

TEST_F(Forward, DefaultPositionsCountFromZero) {
  ForwardOptions options;
  for (int i = 0; i < 48; ++i) options.position_ids.push_back(i % 24);
  EXPECT_TRUE(same_bits(logits(options), logits({})));
  for (int& position : options.position_ids) position = 2 * position;
  EXPECT_FALSE(same_bits(logits(options), logits({})));
}

// A pad that attention still sees skips the experts: its branch of every block is attention alone.
TEST_F(Forward, PaddingMaskAloneSkipsTheExperts) {
  ForwardOptions options;
  options.padding_mask.assign(48, 0);
  options.padding_mask[23] = 1;  // the last token of row 0: nobody attends to it
  const auto masked = logits(options), plain = logits({});
  EXPECT_FALSE(same_bits(std::span(masked).subspan(23 * width, width), std::span(plain).subspan(23 * width, width)));
  EXPECT_TRUE(same_bits(std::span(masked).subspan(0, 23 * width), std::span(plain).subspan(0, 23 * width)));
  EXPECT_TRUE(same_bits(std::span(masked).subspan(24 * width), std::span(plain).subspan(24 * width)));

  // Where experts answer 0, skipping them changes nothing.
  for (Block& block : model.model.layers) Kokkos::deep_copy(exec(), block.mlp.experts.down.values<float>(), 0.0f);
  EXPECT_TRUE(same_bits(logits(options), logits({})));
}

TEST_F(Forward, MaskedPositionsGetZeroLogits) {
  ForwardOptions options;
  options.attention_mask.assign(48, 1);
  options.attention_mask[0] = 0;
  const auto masked = logits(options);
  EXPECT_EQ(max_abs(std::span(masked).subspan(0, width)), 0.0);
  EXPECT_GT(max_abs(std::span(masked).subspan(width, width)), 0.0);
}

TEST_F(Forward, NoTokensAreNoLogits) {
  const CausalLMOutput out = model.forward({.num_sequences = 0, .length = 0, .ids = {}});
  EXPECT_EQ(out.logits_BNV.size(), 0u);
}

TEST_F(Forward, WrongArgumentsAreRefusedWithTheNumbers) {
  InputIds bad = input;
  bad.ids[30] = 384;
  expect_refused(bad, {}, "input_ids: token 30 is 384, outside the vocabulary 0..383");
  bad.ids.pop_back();
  expect_refused(bad, {}, "input_ids has 47 entries, expected 2 sequences x 24 tokens");
  expect_refused(input, {.position_ids = {1, 2}}, "position_ids has 2 entries, input_ids 2 x 24");
  expect_refused(input, {.position_ids = std::vector<int>(48, 512)},
                 "position 512 of token 0 is outside 0..511 (max_position_embeddings)");
  expect_refused(input, {.logits_to_keep = 25}, "logits_to_keep is 25, the sequences have 24 positions");
  expect_refused(input, {.logits_positions = {24}}, "logits_positions: 24 is outside 0..23");
  expect_refused(input, {.logits_to_keep = 1, .logits_positions = {2}}, "exclude one another");
  expect_refused(input, {.cu_seqlens = {0, 48}}, "cu_seqlens is given, but qkv_format is bshd");
  expect_refused(input, {.qkv_format = QkvFormat::thd, .cu_seqlens = {0, 48}}, "input_ids must be one row, found 2");
  const InputIds packed{.num_sequences = 1, .length = 48, .ids = input.ids};
  expect_refused(packed, {.qkv_format = QkvFormat::thd, .cu_seqlens = {0, 20, 10, 48}}, "cu_seqlens[2] is 10");
  expect_refused(packed, {.qkv_format = QkvFormat::thd, .cu_seqlens = {0, 20}},
                 "must end at the number of tokens, 48, found 20");
  KVCache cache = model.make_cache(1, 10);
  expect_refused(input, {.cache = &cache}, "cache_sequences has 0 entries, the batch 2 sequences");
  const InputIds one{.num_sequences = 1, .length = 24, .ids = {input.ids.begin(), input.ids.begin() + 24}};
  expect_refused(one, {.cache = &cache, .cache_sequences = {cache.add_sequence()}},
                 "a sequence of 24 positions does not fit, at most 10 do");
}

TEST_F(Forward, PackedLengthsMayBePaddedAsInTheReference) {
  const InputIds packed{.num_sequences = 1, .length = 48, .ids = input.ids};
  const auto actual = to_host(
      model.forward(packed, {.qkv_format = QkvFormat::thd, .cu_seqlens = {0, 24, 48, -1000, -1000}}).logits_BNV);
  EXPECT_TRUE(same_bits(actual, logits({})));
}

TEST_F(Forward, EmbeddingsCanBeExchanged) {
  const auto before = logits({});
  Weight other = Weight::allocate(exec(), DType::float32, 1, 384, 64, "test::head");
  Kokkos::deep_copy(exec(), other.values<float>(), 0.0f);
  model.set_output_embeddings(other);
  EXPECT_EQ(max_abs(logits({})), 0.0);
  EXPECT_EQ(model.get_output_embeddings().data(), other.data());
  const Weight narrow = Weight::allocate(exec(), DType::float32, 1, 384, 32, "test::head");
  EXPECT_THAT([&] { model.set_input_embeddings(narrow); },
              ThrowsMessage<Error>(HasSubstr("found 1 x 384 x 32, expected 1 x 384 x 64")));
}

MiniMaxM2Config small_config() {
  MiniMaxM2Config config;
  config.hidden_size = 256;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 64;
  config.rotary_dim = 32;
  config.intermediate_size = 128;
  config.num_local_experts = 16;
  config.num_experts_per_tok = 4;
  config.vocab_size = 1000;
  config.eos_token_id.clear();
  return config;
}

struct Moments {
  double mean = 0, deviation = 0, largest = 0;
};

Moments moments(const std::vector<float>& values) {
  Moments out{.mean = 0, .deviation = 0, .largest = max_abs(values)};
  for (const float value : values) out.mean += value / double(values.size());
  for (const float value : values) out.deviation += (value - out.mean) * (value - out.mean) / double(values.size());
  out.deviation = std::sqrt(out.deviation);
  return out;
}

// The distributions of NeMo AutoModel. With n values the deviation is known to 1 / sqrt(2 n), the mean to
// deviation / sqrt(n): six times that is asked for.
TEST(InitializeWeights, HasTheDistributionsOfTheReference) {
  auto model = MiniMaxM2ForCausalLM::from_config(small_config(), {.dtype = DType::float32, .exec = exec()});
  model.initialize_weights(DType::float32, 42);
  const auto expect_normal = [](const Weight& weight, double deviation) {
    const auto values = to_host(weight.values<float>());
    const Moments found = moments(values);
    const double n = double(values.size());
    EXPECT_NEAR(found.deviation, deviation, 6 * deviation / std::sqrt(2 * n));
    EXPECT_NEAR(found.mean, 0.0, 6 * deviation / std::sqrt(n));
  };
  expect_normal(model.model.embed_tokens, 1.0);
  for (Block& block : model.model.layers) {
    for (const Weight* weight :
         {&block.self_attn.q_proj, &block.self_attn.k_proj, &block.self_attn.v_proj, &block.self_attn.o_proj,
          &block.mlp.gate.weight, &block.mlp.experts.gate_up, &block.mlp.experts.down}) {
      expect_normal(*weight, 0.02);
    }
    EXPECT_EQ(max_abs(to_host(block.mlp.gate.selection_bias)), 0.0);
    for (const auto& norm :
         {block.input_layernorm, block.post_attention_layernorm, block.self_attn.q_norm, block.self_attn.k_norm}) {
      for (const float value : to_host(norm)) EXPECT_EQ(value, 1.0f);
    }
  }
  // Cut at three deviations, a normal distribution keeps 0.98658 of its deviation.
  const Moments head = moments(to_host(model.lm_head.values<float>()));
  EXPECT_NEAR(head.deviation, 0.98658 / 16, 6.0 / 16 / std::sqrt(2 * 256000.0));
  EXPECT_LE(head.largest, 3.0f / 16);
  EXPECT_GT(head.largest, 2.9f / 16);
}

TEST(InitializeWeights, DependsOnTheSeedAlone) {
  const auto head = [](std::uint64_t seed, const ExecSpace& on) {
    auto model = MiniMaxM2ForCausalLM::from_config(small_config(), {.dtype = DType::bfloat16, .exec = on});
    model.initialize_weights(DType::bfloat16, seed);
    model.deinterleave_weights();
    return to_host(model.model.layers[1].mlp.experts.gate_up.values<Bf16>());
  };
  EXPECT_TRUE(same_bits(head(7, exec()), head(7, exec())));
  EXPECT_FALSE(same_bits(head(7, exec()), head(8, exec())));
  EXPECT_TRUE(same_bits(head(7, exec()), head(7, with_threads(1))));
}

// What a released checkpoint holds as FP8 blocks, and nothing else; with the distribution of the others, but for the
// roundings: blocks' largest values are exact, the others are known to a sixteenth.
TEST(InitializeWeights, AQuantisedConfigurationGivesFp8Blocks) {
  MiniMaxM2Config config = small_config();
  config.quantization.emplace();
  auto model = MiniMaxM2ForCausalLM::from_config(config, {.dtype = DType::bfloat16, .exec = exec()});
  for (const Parameter& parameter : model.parameters()) {
    if (!parameter.weight) continue;
    const DType expected = parameter.schema.may_be_fp8()      ? DType::float8_e4m3fn
                           : parameter.schema.stays_float32() ? DType::float32
                                                              : DType::bfloat16;
    EXPECT_EQ(parameter.weight->dtype(), expected) << parameter.name();
  }
  auto in_rows = MiniMaxM2ForCausalLM::from_config(config, {.dtype = DType::bfloat16, .exec = exec()});
  in_rows.deinterleave_weights();
  const Weight& q_proj = in_rows.model.layers[0].self_attn.q_proj;
  auto values = to_host(q_proj.values<Fp8E4M3>());
  const auto scales = to_host(q_proj.scale_inv());
  const std::int64_t columns = q_proj.num_columns(), scale_columns = Weight::num_scale_columns(columns);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] *= scales[i / columns / kFp8Block * scale_columns + i % columns / kFp8Block];
  }
  EXPECT_NEAR(moments(values).deviation, 0.02, 0.02 * (6 / std::sqrt(2.0 * values.size()) + 1.0 / 16));
  const auto logits = model.forward({.num_sequences = 1, .length = 3, .ids = {1, 2, 3}}).logits_BNV;
  EXPECT_GT(max_abs(to_host(logits)), 0.0);
  auto alone = MiniMaxM2ForCausalLM::from_config(config, {.dtype = DType::bfloat16, .exec = with_threads(1)});
  EXPECT_TRUE(same_bits(to_host(logits),
                        to_host(alone.forward({.num_sequences = 1, .length = 3, .ids = {1, 2, 3}}).logits_BNV)));
}

TEST(InitializeWeights, TheRouterStaysFloat32) {
  auto model = MiniMaxM2ForCausalLM::from_config(small_config());
  EXPECT_EQ(model.dtype(), DType::bfloat16);
  EXPECT_EQ(model.lm_head.dtype(), DType::bfloat16);
  EXPECT_EQ(model.model.layers[0].mlp.gate.weight.dtype(), DType::float32);
  EXPECT_GT(max_abs(to_host(model.forward({.num_sequences = 1, .length = 3, .ids = {1, 2, 3}}).logits_BNV)), 0.0);
}

TEST(Model, BothMoEConfigAndOverridesAreRefused) {
  const MiniMaxM2Config config = small_config();
  EXPECT_THAT(
      [&] {
        MiniMaxM2ForCausalLM(config, {.backend = {},
                                      .moe_config = MoEConfig::from(config),
                                      .moe_overrides = MoEOverrides{},
                                      .dtype = {},
                                      .exec = exec()});
      },
      ThrowsMessage<Error>(HasSubstr("moe_overrides")));
}

// Memory is planned before anything is allocated, so the plan must be what is taken.
TEST(Model, WorkspaceIsWhatWasPlanned) {
  auto model = MiniMaxM2ForCausalLM::from_config(small_config());
  const std::int64_t planned = model.model.workspace_bytes<Bf16>(33);
  Workspace workspace(exec(), planned);
  KVCache cache = model.make_cache(1, 64);
  const int sequence = cache.add_sequence();
  ASSERT_TRUE(cache.reserve(sequence, 33));
  PackedTokens tokens;
  for (int i = 0; i < 33; ++i) tokens.add(i, i, sequence, i);
  model.model.forward<Bf16>(exec(), tokens, cache, workspace);
  EXPECT_EQ(workspace.peak_bytes(), planned);
}

}  // namespace
}  // namespace m2::test
