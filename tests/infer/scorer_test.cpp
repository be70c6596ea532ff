// SPDX-License-Identifier: Apache-2.0
#include "infer/scorer.hpp"

#include <gmock/gmock.h>

#include <cmath>

#include "infer/fixture.hpp"
#include "support/compare.hpp"

namespace m2 {
namespace {

std::vector<std::vector<float>> score(const MiniMaxM2ForCausalLM& model, const std::vector<Prompt>& texts,
                                      const BatchSection& batch, std::int64_t first = 0) {
  KVCache cache = model.make_cache(batch.max_sequences, 512);
  Scorer scorer(model, batch, cache);
  std::vector<std::vector<float>> results(texts.size() - std::size_t(first));
  std::int64_t num_tokens = 0;
  std::size_t num_results = 0;
  scorer.run(
      texts, test::prompts_in_order(first, std::ssize(texts)), Lockstep(nullptr, /*grace_seconds=*/0.0),
      [&](std::int64_t index, std::span<const float> logprobs) {
        results.at(index - first).assign(logprobs.begin(), logprobs.end());
        ++num_results;
      },
      [&](std::int64_t count) { num_tokens += count; });
  for (const auto& result : results) num_tokens -= std::ssize(result);
  EXPECT_EQ(num_results, results.size());
  EXPECT_EQ(num_tokens, 0) << "progress counts each scored token once";
  return results;
}

// Log-softmax in double of the logits of one full forward pass. In float, the difference of two logits of magnitude m
// and the logarithm of the sum are each rounded once or twice: 4 epsilon (m + ln V).
TEST(Scorer, IsTheLogSoftmaxOfTheForwardPass) {
  MiniMaxM2ForCausalLM model = test::tiny_model(DType::float32);
  const std::vector<Prompt> texts = test::prompts_of({300});  // more rows than logits are held for at once
  const std::vector<int>& tokens = texts[0].tokens;
  const auto logits = test::to_host(model.forward({1, 300, tokens}).logits_BNV);
  std::vector<float> expected;
  for (int t = 0; t + 1 < 300; ++t) {
    const std::span<const float> row = std::span(logits).subspan(t * 384, 384);
    double total = 0.0;
    for (const float logit : row) total += std::exp(double(logit));
    expected.push_back(float(double(row[tokens[t + 1]]) - std::log(total)));
  }
  const double tolerance = 4 * 0x1p-24 * (2 * test::max_abs(logits) + std::log(384.0));
  const auto actual = score(model, texts, {.max_tokens = 512, .max_sequences = 1});
  EXPECT_TRUE(test::all_close(actual.at(0), expected, tolerance));
}

class ScorerOf : public ::testing::TestWithParam<DType> {};

TEST_P(ScorerOf, TheBatchChangesNoBit) {
  const MiniMaxM2ForCausalLM model = test::tiny_model(GetParam());
  const std::vector<Prompt> texts = test::prompts_of({40, 1, 0, 2, 300, 17, 3, 64});
  const auto expected = score(model, texts, {.max_tokens = 512, .max_sequences = 1});
  for (const BatchSection& batch : {BatchSection{5, 2}, BatchSection{64, 8}, BatchSection{512, 8}}) {
    SCOPED_TRACE(testing::Message() << batch.max_tokens << " tokens, " << batch.max_sequences << " sequences");
    const auto actual = score(model, texts, batch);
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i)
      EXPECT_TRUE(test::same_bits(actual[i], expected[i])) << "text " << i;
  }
  EXPECT_EQ(score(model, texts, {.max_tokens = 64, .max_sequences = 3}, 5),
            (std::vector<std::vector<float>>(expected.begin() + 5, expected.end())));
}

INSTANTIATE_TEST_SUITE_P(DTypes, ScorerOf, ::testing::Values(DType::float32, DType::bfloat16),
                         [](const auto& test) { return std::string(name(test.param)); });

TEST(Scorer, TextsOfNoneAndOneTokenHaveNoScores) {
  const MiniMaxM2ForCausalLM model = test::tiny_model(DType::float32);
  const auto results = score(model, test::prompts_of({0, 1, 2}), {});
  EXPECT_TRUE(results.at(0).empty());
  EXPECT_TRUE(results.at(1).empty());
  EXPECT_EQ(results.at(2).size(), 1u);
}

TEST(TokenScorer, SaysWhatDoesNotFit) {
  MiniMaxM2ForCausalLM model = test::tiny_model(DType::float32);
  KVCache cache = model.make_cache(1, 8);
  TokenScorer scorer(model, 8);
  PackedTokens tokens;
  tokens.add(1, 0, cache.add_sequence(), 0);
  const auto message = [&](const std::vector<int>& rows, const std::vector<int>& targets) -> std::string {
    try {
      scorer.score(tokens, rows, targets, cache);
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  EXPECT_EQ(message({0}, {}), "score: 1 rows and 0 targets must agree");
  EXPECT_EQ(message({1}, {0}), "score: row 1 is not one of the 1 tokens");
  EXPECT_EQ(message({0}, {384}), "score: target 384 is outside the vocabulary of 384");
  EXPECT_EQ(message({0, 0}, {1, 2}), "score: 2 rows of 1 tokens, expected each at most once");
}

}  // namespace
}  // namespace m2
