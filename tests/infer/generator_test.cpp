// SPDX-License-Identifier: Apache-2.0
#include "infer/generator.hpp"

#include <gmock/gmock.h>

#include <algorithm>

#include "infer/copied_bytes.hpp"
#include "infer/fixture.hpp"
#include "infer/scorer.hpp"
#include "support/compare.hpp"

namespace m2 {
namespace {

using ::testing::ElementsAre;

const std::vector<int> kLengths{1, 40, 3, 17, 64, 9};

GenerationOptions sampled() {
  GenerationOptions options;
  options.sampling = {.temperature = 0.9, .top_k = 50, .top_p = 0.95, .seed = 4};
  options.max_new_tokens = 12;
  options.logprobs = true;
  return options;
}

Lockstep alone() { return Lockstep(nullptr, /*grace_seconds=*/0.0); }

struct Setup {
  BatchSection batch{.max_tokens = 512, .max_sequences = 6};
  std::int64_t num_pages = 12;
  std::int64_t first = 0;
};

std::vector<GenerationResult> generate(MiniMaxM2ForCausalLM& model, const std::vector<Prompt>& prompts,
                                       const GenerationOptions& options, const Setup& setup = {}) {
  KVCache cache(model.exec(), model.config(), model.dtype(), setup.num_pages, setup.batch.max_sequences, 512);
  Generator generator(model, nullptr, options, setup.batch, cache);
  std::vector<GenerationResult> results(prompts.size() - std::size_t(setup.first));
  std::size_t num_results = 0;
  generator.run(prompts, test::prompts_in_order(setup.first, std::ssize(prompts)), alone(),
                [&](std::int64_t index, const GenerationResult& result) {
                  results.at(index - setup.first) = result;
                  ++num_results;
                });
  EXPECT_EQ(num_results, results.size());
  EXPECT_EQ(cache.num_free_pages(), setup.num_pages) << "every page was given back";
  return results;
}

void expect_same(const std::vector<GenerationResult>& actual, const std::vector<GenerationResult>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_EQ(actual[i].token_ids, expected[i].token_ids) << "prompt " << i;
    EXPECT_TRUE(test::same_bits(actual[i].logprobs, expected[i].logprobs)) << "prompt " << i;
  }
}

class GeneratorOf : public ::testing::TestWithParam<DType> {};

TEST_P(GeneratorOf, TheBatchChangesNoTokenAndNoBit) {
  MiniMaxM2ForCausalLM model = test::tiny_model(GetParam());
  const std::vector<Prompt> prompts = test::prompts_of(kLengths);
  const auto one_by_one = generate(model, prompts, sampled(), {.batch = {.max_tokens = 512, .max_sequences = 1}});
  for (const BatchSection& batch : {BatchSection{1, 1}, BatchSection{7, 3}, BatchSection{512, 6}}) {
    SCOPED_TRACE(testing::Message() << batch.max_tokens << " tokens, " << batch.max_sequences << " sequences");
    expect_same(generate(model, prompts, sampled(), {.batch = batch}), one_by_one);
  }
  // Three pages: some sequences must wait until others have left.
  expect_same(generate(model, prompts, sampled(), {.num_pages = 3}), one_by_one);
}

INSTANTIATE_TEST_SUITE_P(DTypes, GeneratorOf, ::testing::Values(DType::float32, DType::bfloat16),
                         [](const auto& test) { return std::string(name(test.param)); });

TEST(Generator, GoingOnInTheMiddleGivesTheSame) {
  MiniMaxM2ForCausalLM model = test::tiny_model(DType::float32);
  const std::vector<Prompt> prompts = test::prompts_of(kLengths);
  const auto all = generate(model, prompts, sampled());
  expect_same(generate(model, prompts, sampled(), {.first = 2}), {all.begin() + 2, all.end()});
}

TEST(Generator, EqualPromptsGoDifferentWaysButTheSameAgain) {
  MiniMaxM2ForCausalLM model = test::tiny_model(DType::float32);
  std::vector<Prompt> prompts = test::prompts_of({8});
  prompts.push_back(prompts[0]);
  const auto results = generate(model, prompts, sampled());
  EXPECT_NE(results[0].token_ids, results[1].token_ids);
}

TEST(Generator, GreedyTokensAreThoseOfFullForwards) {
  MiniMaxM2ForCausalLM model = test::tiny_model(DType::float32);
  const std::vector<Prompt> prompts = test::prompts_of({5});
  GenerationOptions options;
  options.max_new_tokens = 6;
  const auto results = generate(model, prompts, options, {.batch = {.max_tokens = 2, .max_sequences = 1}});
  std::vector<int> tokens = prompts[0].tokens;
  for (const int token : results[0].token_ids) {
    const auto logits = test::to_host(model.forward({1, int(tokens.size()), tokens}, {.logits_to_keep = 1}).logits_BNV);
    EXPECT_EQ(token, int(std::ranges::max_element(logits) - logits.begin()));
    tokens.push_back(token);
  }
}

// Bytes of the largest copy while prompts go on: a row of logits has 1,536.
std::int64_t largest_copy_bytes(const SamplingOptions& sampling, bool logprobs) {
  MiniMaxM2ForCausalLM model = test::tiny_model(DType::float32);
  GenerationOptions options;
  options.sampling = sampling;
  options.max_new_tokens = 6;
  options.logprobs = logprobs;
  const test::CopiedBytes copies;
  generate(model, test::prompts_of({3, 4, 5, 6}), options, {.batch = {.max_tokens = 32, .max_sequences = 4}});
  return copies.largest();
}

TEST(Generator, LogitsGoToTheHostOnlyWhereAFeatureNeedsThem) {
  constexpr std::int64_t kRowBytes = 384 * sizeof(float);
  EXPECT_LT(largest_copy_bytes({}, /*logprobs=*/true), kRowBytes);
  EXPECT_LT(largest_copy_bytes({.temperature = 0.9, .top_k = 20, .top_p = 0.9}, /*logprobs=*/true), kRowBytes);
  EXPECT_GE(largest_copy_bytes({.temperature = 0.9, .top_p = 0.9}, /*logprobs=*/false), kRowBytes);
}

TEST(Generator, LogprobsAreBitForBitThoseOfTheScoreJob) {
  MiniMaxM2ForCausalLM model = test::tiny_model(DType::bfloat16);
  std::vector<Prompt> prompts = test::prompts_of({11});
  const auto results = generate(model, prompts, sampled());
  prompts[0].tokens.insert(prompts[0].tokens.end(), results[0].token_ids.begin(), results[0].token_ids.end());
  KVCache cache = model.make_cache(1, 512);
  Scorer scorer(model, {.max_tokens = 10, .max_sequences = 1}, cache);
  scorer.run(prompts, test::prompts_in_order(0, 1), alone(), [&](std::int64_t, std::span<const float> logprobs) {
    EXPECT_TRUE(test::same_bits(logprobs.last(results[0].logprobs.size()), results[0].logprobs));
  });
}

TEST(Generator, StopsAtTheLengthOrAToken) {
  MiniMaxM2ForCausalLM model = test::tiny_model(DType::float32);
  const std::vector<Prompt> prompts = test::prompts_of({6});
  GenerationOptions options = sampled();
  const auto free = generate(model, prompts, options)[0];
  EXPECT_EQ(free.token_ids.size(), 12u);
  EXPECT_FALSE(free.stopped);
  EXPECT_EQ(free.text, std::nullopt) << "there is no tokenizer";

  options.stop_token_ids = {free.token_ids[4]};
  const auto first = std::ranges::find(free.token_ids, free.token_ids[4]);
  const auto stopped = generate(model, prompts, options)[0];
  EXPECT_TRUE(stopped.stopped);
  EXPECT_EQ(stopped.token_ids, std::vector<int>(free.token_ids.begin(), first + 1)) << "the stop token is included";
}

TEST(Generator, TheModelsLastPositionEndsASequence) {
  MiniMaxM2ForCausalLM model = test::tiny_model(DType::float32);
  const int last = model.config().max_position_embeddings;
  const auto results = generate(model, test::prompts_of({last - 2, last - 1}), sampled(), {.num_pages = 16});
  EXPECT_EQ(results[0].token_ids.size(), 2u);
  EXPECT_EQ(results[1].token_ids.size(), 1u);
  EXPECT_FALSE(results[1].stopped);
}

TEST(Generator, RowsWithoutATokenAreNeverGenerated) {
  MiniMaxM2ForCausalLM model = test::tiny_model(DType::float32);
  GenerationOptions options = sampled();
  options.sampling.top_k = 0;
  options.sampling.top_p = 1.0;
  for (int id = 0; id < 382; ++id) options.never_V.push_back(id);
  const auto results = generate(model, test::prompts_of({6}), options);
  for (const int token : results[0].token_ids) EXPECT_GE(token, 382);
}

TEST(Generator, SaysWhenTheCacheCannotHoldASequence) {
  MiniMaxM2ForCausalLM model = test::tiny_model(DType::float32);
  KVCache cache(model.exec(), model.config(), model.dtype(), 1, 1, 512);
  Generator generator(model, nullptr, sampled(), {}, cache);
  try {
    generator.run(test::prompts_of({60}), test::prompts_in_order(0, 1), alone(),
                  [](std::int64_t, const GenerationResult&) {});
    FAIL() << "no Error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "KV cache: its 1 pages of 64 positions do not hold one sequence of 72 positions");
  }
}

}  // namespace
}  // namespace m2
