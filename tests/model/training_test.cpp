// SPDX-License-Identifier: Apache-2.0
// Training mode against transformers' gradients, and what training promises: the same bits whatever is recomputed, and
// whatever else is in the micro-batch.
#include <gmock/gmock.h>

#include <map>
#include <regex>

#include "kernels/rowwise/token_logprob.hpp"
#include "model/fixture.hpp"

namespace m2::test {
namespace {

// Of each parameter's largest gradient: the reference's float32 rounding differs from ours in the order of sums only.
constexpr double kGradientTolerance = 2e-5;

std::string hugging_face_name(std::string name) {
  static const std::vector<std::pair<std::regex, const char*>> kRules{
      {std::regex("^embed_tokens$"), "model.embed_tokens.weight"},
      {std::regex("^norm$"), "model.norm.weight"},
      {std::regex("^lm_head$"), "lm_head.weight"},
      {std::regex("^layers/(\\d+)/(input|post_attention)_norm$"), "model.layers.$1.$2_layernorm.weight"},
      {std::regex("^layers/(\\d+)/attention/(\\w+)$"), "model.layers.$1.self_attn.$2.weight"},
      {std::regex("^layers/(\\d+)/moe/gate$"), "model.layers.$1.mlp.gate.weight"},
      {std::regex("^layers/(\\d+)/moe/experts/(\\w+)$"), "model.layers.$1.mlp.experts.$2_proj"},
  };
  for (const auto& [pattern, replacement] : kRules) {
    if (std::regex_match(name, pattern)) return std::regex_replace(name, pattern, replacement);
  }
  ADD_FAILURE() << name;
  return name;
}

// The rows of input_ids, every token a label: what the reference's loss and gradients belong to.
TrainingSequences reference_batch(const Fixture& fixture) {
  const InputIds ids = fixture.input_ids();
  TrainingSequences sequences;
  for (int row = 0; row < ids.num_sequences; ++row) {
    const std::span<const int> tokens = std::span(ids.ids).subspan(std::size_t(row) * ids.length, ids.length);
    sequences.add(tokens, tokens);
  }
  return sequences;
}

using Gradients = std::map<std::string, std::vector<float>>;

Gradients gradients_of(MiniMaxM2ForCausalLM& model) {
  Gradients gradients;
  for (const Parameter& parameter : model.parameters()) {
    if (parameter.gradient) gradients[parameter.name()] = to_host(*parameter.gradient);
  }
  return gradients;
}

void expect_same_bits(const Gradients& actual, const Gradients& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (const auto& [name, values] : expected) EXPECT_TRUE(same_bits(actual.at(name), values)) << name;
}

Gradients train_once(MiniMaxM2ForCausalLM& model, const TrainingSequences& sequences, Recompute recompute) {
  model.train({.recompute = {recompute}});
  model.forward(sequences, 1.0f / float(sequences.num_labels()));
  model.backward();
  return gradients_of(model);
}

TEST(Training, GradientsAreThoseOfTransformers) {
  const Fixture fixture("tiny-f32");
  MiniMaxM2ForCausalLM model = fixture.model(DType::float32);
  const TrainingSequences sequences = reference_batch(fixture);
  model.train();
  const TrainingLoss loss = model.forward(sequences, 1.0f / float(sequences.num_labels()));
  EXPECT_NEAR(loss.nll / double(loss.num_labels), fixture.floats("loss")[0], kGradientTolerance * 6.0);
  model.backward();
  const Gradients gradients = gradients_of(model);
  EXPECT_EQ(gradients.size(), 3u + 3u * 11u);
  for (const auto& [name, values] : gradients) {
    const std::vector<float> expected = fixture.floats("grad." + hugging_face_name(name));
    EXPECT_TRUE(all_close(values, expected, kGradientTolerance * max_abs(expected))) << name;
  }
}

TEST(Training, WhatIsComputedAgainChangesNoBit) {
  for (const auto& [name, dtype] : {std::pair("tiny-f32", DType::float32), std::pair("tiny-bf16", DType::bfloat16),
                                    std::pair("tiny-fp8", DType::bfloat16)}) {
    SCOPED_TRACE(name);
    const Fixture fixture(name);
    MiniMaxM2ForCausalLM model = fixture.model(dtype);
    const TrainingSequences sequences = reference_batch(fixture);
    const Gradients kept = train_once(model, sequences, Recompute::none);
    expect_same_bits(train_once(model, sequences, Recompute::selective), kept);
    expect_same_bits(train_once(model, sequences, Recompute::block), kept);
  }
}

// ln p of what follows each token, as a score job computes it.
template <class T>
std::vector<float> scored(MiniMaxM2ForCausalLM& model, const TrainingSequences& sequences) {
  std::vector<float> logprobs;
  for (int b = 0; b < sequences.num_sequences(); ++b) {
    const int begin = sequences.begin_B1[b], length = sequences.begin_B1[b + 1] - begin;
    KVCache cache = model.make_cache(1, length);
    const int sequence = cache.add_sequence();
    cache.reserve(sequence, length);
    PackedTokens tokens;
    std::vector<int> rows, targets;
    for (int t = 0; t < length; ++t) {
      tokens.add(sequences.token_T[begin + t], t, sequence, t);
      rows.push_back(t);
      targets.push_back(std::max(sequences.target_T[begin + t], 0));
    }
    const View2D<const float> logits = model.step(tokens, rows, cache);
    View1D<float> logprob("test::logprob", length);
    token_logprob(exec(), logits, integers_to_device<int>(targets), logprob);
    for (const float value : to_host(logprob)) logprobs.push_back(value);
    logprobs.back() = 0.0f;  // without a label
  }
  return logprobs;
}

TEST(Training, LogprobsHaveTheBitsOfInference) {
  const Fixture float32("tiny-f32"), fp8("tiny-fp8");
  MiniMaxM2ForCausalLM model = float32.model(DType::float32);
  model.train();
  const TrainingSequences sequences = reference_batch(float32);
  EXPECT_TRUE(same_bits(model.forward(sequences, 1.0f).logprob_T, scored<float>(model, sequences)));
  EXPECT_TRUE(same_bits(model.evaluate(sequences).logprob_T, scored<float>(model, sequences)));

  MiniMaxM2ForCausalLM rounded = fp8.model(DType::bfloat16);
  rounded.train();
  const TrainingSequences others = reference_batch(fp8);
  EXPECT_TRUE(same_bits(rounded.forward(others, 1.0f).logprob_T, scored<Bf16>(rounded, others)));
}

TEST(Training, MicroBatchesAddUp) {
  const Fixture fixture("tiny-f32");
  MiniMaxM2ForCausalLM model = fixture.model(DType::float32);
  const InputIds ids = fixture.input_ids();
  const std::span<const int> first = std::span(ids.ids).first(ids.length), second = std::span(ids.ids).last(10);
  TrainingSequences a, b;
  a.add(first, first);
  b.add(second, second);
  const auto alone = [&](const TrainingSequences& sequences) {
    model.train();
    model.forward(sequences, 0.25f);
    model.backward();
    return gradients_of(model);
  };
  const Gradients of_a = alone(a), of_b = alone(b);
  model.train();
  for (const TrainingSequences* sequences : {&a, &b}) {
    model.forward(*sequences, 0.25f);
    model.backward();
  }
  for (const auto& [name, sum] : gradients_of(model)) {
    std::vector<float> expected = of_a.at(name);
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += of_b.at(name)[i];
    EXPECT_TRUE(all_close(sum, expected, kGradientTolerance * max_abs(expected))) << name;
  }
  model.zero_gradients();
  for (const auto& [name, values] : gradients_of(model)) EXPECT_EQ(max_abs(values), 0.0) << name;
}

TEST(Training, SequencesDoNotSeeOneAnother) {
  const Fixture fixture("tiny-f32");
  MiniMaxM2ForCausalLM model = fixture.model(DType::float32);
  model.train();
  const InputIds ids = fixture.input_ids();
  const std::span<const int> first = std::span(ids.ids).first(ids.length), second = std::span(ids.ids).last(ids.length);
  std::vector<int> other(first.begin(), first.end());
  std::ranges::reverse(other);
  TrainingSequences before, after;
  before.add(first, first);
  before.add(second, second);
  after.add(other, other);
  after.add(second, second);
  const std::vector<float> expected = model.forward(before, 1.0f).logprob_T,
                           actual = model.forward(after, 1.0f).logprob_T;
  EXPECT_TRUE(same_bits(std::span(actual).last(ids.length), std::span(expected).last(ids.length)));
  EXPECT_FALSE(same_bits(std::span(actual).first(ids.length), std::span(expected).first(ids.length)));
}

TEST(Training, OnlyWhatIsTrainedHasAGradient) {
  const Fixture fixture("tiny-f32");
  MiniMaxM2ForCausalLM model = fixture.model(DType::float32);
  const TrainingSequences sequences = reference_batch(fixture);
  const Gradients whole = train_once(model, sequences, Recompute::none);
  model.train({.is_trained = [](const ParameterSchema& schema) { return schema.kind == ParameterKind::router; }});
  model.forward(sequences, 1.0f / float(sequences.num_labels()));
  model.backward();
  for (const auto& [name, values] : gradients_of(model)) {
    if (name.ends_with("moe/gate")) {
      EXPECT_TRUE(same_bits(values, whole.at(name))) << name;
    } else {
      EXPECT_TRUE(values.empty()) << name;
    }
  }
}

TEST(Training, TheLastBackwardOfAStepCompletesTheGradients) {
  const Fixture fixture("tiny-f32");
  MiniMaxM2ForCausalLM model = fixture.model(DType::float32);
  const TrainingSequences sequences = reference_batch(fixture);
  model.train();
  std::string order;
  model.gradient_units().on_complete([&](const GradientUnit& unit) {
    order += "hxde"[int(unit.kind)];
    if (unit.layer >= 0) order += std::to_string(unit.layer);
  });
  const auto pass = [&] {
    model.forward(sequences, 1.0f);
    model.backward();
  };
  model.prepare_for_grad_accumulation();
  pass();
  pass();
  EXPECT_EQ(order, "");
  EXPECT_EQ(model.gradient_units().num_deferred(), 2 * (2 + 2 * 3));
  model.prepare_for_final_backward();
  pass();
  EXPECT_EQ(order, "hx2d2x1d1x0d0e");
  EXPECT_EQ(model.gradient_units().num_completed(), 2 + 2 * 3);
}

TEST(Training, RefusesWhatItCannotDo) {
  const Fixture fixture("tiny-f32");
  MiniMaxM2ForCausalLM model = fixture.model(DType::float32);
  TrainingSequences sequences;
  const std::vector<int> tokens{1, 2, 3}, too_large{1, 2, 384};
  EXPECT_THROW(sequences.add(tokens, std::vector<int>{1, 2}), Error);
  EXPECT_THROW(sequences.add({}, {}), Error);
  sequences.add(tokens, tokens);
  EXPECT_THROW(model.forward(sequences, 1.0f), Error);  // not in training mode
  model.train();
  EXPECT_THROW(model.backward(), Error);  // before a forward
  TrainingSequences bad;
  bad.add(too_large, too_large);
  EXPECT_THROW(model.forward(bad, 1.0f), Error);
  model.forward(sequences, 1.0f);
  model.backward();
  EXPECT_THROW(model.backward(), Error);
}

}  // namespace
}  // namespace m2::test
