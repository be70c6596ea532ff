// SPDX-License-Identifier: Apache-2.0
#include "infer/generation_options.hpp"

#include <gmock/gmock.h>

#include "core/error.hpp"
#include "infer/fixture.hpp"

namespace m2 {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const Tokenizer& tokenizer() {
  static const std::string path = M2_TEST_DATA "/tokenizer/tokenizer.json";
  static const Tokenizer instance = Tokenizer::from_json(read_text_file(path), path);
  return instance;
}

TEST(GenerationOptions, GreedyUnlessTheCheckpointOrTheDeckSamples) {
  const MiniMaxM2Config config = test::tiny_config();
  GenerationDefaults defaults;
  defaults.temperature = 0.6;
  defaults.top_p = 0.95;
  defaults.top_k = 40;
  EXPECT_EQ(resolve_generation_options({}, defaults, config, nullptr).sampling.temperature, 0.0);
  defaults.do_sample = false;
  EXPECT_EQ(resolve_generation_options({}, defaults, config, nullptr).sampling.temperature, 0.0);
  defaults.do_sample = true;
  const SamplingOptions sampling = resolve_generation_options({}, defaults, config, nullptr).sampling;
  EXPECT_EQ(sampling.temperature, 0.6);
  EXPECT_EQ(sampling.top_k, 40);
  EXPECT_EQ(sampling.top_p, 0.95);
  defaults.temperature.reset();
  EXPECT_EQ(resolve_generation_options({}, defaults, config, nullptr).sampling.temperature, 1.0);

  SamplingSection deck;
  deck.temperature = 0.0;
  deck.top_k = 0;
  deck.top_p = 1.0;
  const SamplingOptions mine = resolve_generation_options(deck, defaults, config, nullptr).sampling;
  EXPECT_EQ(mine.temperature, 0.0);
  EXPECT_EQ(mine.top_k, 0);
  EXPECT_EQ(mine.top_p, 1.0);
}

TEST(GenerationOptions, EveryKeyOfSamplingIsPassedOn) {
  const SamplingSection deck{.max_new_tokens = 12,
                             .temperature = 0.5,
                             .top_k = 7,
                             .top_p = 0.75,
                             .min_p = 0.125,
                             .repetition_penalty = 1.25,
                             .seed = 1234567890123456789,
                             .stop = {"end", "\n"},
                             .stop_token_ids = {9, 8},
                             .ignore_eos = true,
                             .logprobs = true};
  // All of them: with one more in the section, this line does not compile until the new one is looked at here.
  const auto& [max_new_tokens, temperature, top_k, top_p, min_p, repetition_penalty, seed, stop, stop_token_ids,
               ignore_eos, logprobs] = deck;
  MiniMaxM2Config config = test::tiny_config();
  config.eos_token_id = {2};
  const GenerationOptions options = resolve_generation_options(deck, {}, config, &tokenizer());
  EXPECT_EQ(options.max_new_tokens, max_new_tokens);
  EXPECT_EQ(options.sampling.temperature, temperature);
  EXPECT_EQ(options.sampling.top_k, top_k);
  EXPECT_EQ(options.sampling.top_p, top_p);
  EXPECT_EQ(options.sampling.min_p, min_p);
  EXPECT_EQ(options.sampling.repetition_penalty, repetition_penalty);
  EXPECT_EQ(options.sampling.seed, std::uint64_t(seed));
  EXPECT_EQ(options.stop, stop);
  EXPECT_EQ(options.stop_token_ids, stop_token_ids) << "and none of the model's own: ignore_eos is " << ignore_eos;
  EXPECT_EQ(options.logprobs, logprobs);
}

TEST(GenerationOptions, EndOfSequenceFromTheFirstThatNamesOne) {
  MiniMaxM2Config config = test::tiny_config();
  config.eos_token_id = {2};
  GenerationDefaults defaults;
  const auto stops = [&](const SamplingSection& deck = {}) {
    return resolve_generation_options(deck, defaults, config, &tokenizer()).stop_token_ids;
  };
  defaults.eos_token_id = {5, 6};
  EXPECT_THAT(stops(), ElementsAre(5, 6));
  defaults.eos_token_id = {};
  EXPECT_THAT(stops(), ElementsAre(2));
  config.eos_token_id = {};
  EXPECT_THAT(stops(), ElementsAre(tokenizer().find("[e~[").value()));
  SamplingSection deck;
  deck.stop_token_ids = {9};
  EXPECT_THAT(stops(deck), ElementsAre(9, tokenizer().find("[e~[").value()));
  deck.ignore_eos = true;
  EXPECT_THAT(stops(deck), ElementsAre(9));
}

TEST(GenerationOptions, RowsWithoutATokenAreListed) {
  MiniMaxM2Config config = test::tiny_config();
  config.vocab_size = tokenizer().num_tokens() + 3;
  const int end = tokenizer().num_tokens();
  EXPECT_THAT(resolve_generation_options({}, {}, config, &tokenizer()).never_V, ElementsAre(end, end + 1, end + 2));
  EXPECT_THAT(resolve_generation_options({}, {}, config, nullptr).never_V, IsEmpty());
}

TEST(GenerationOptions, StopTextsNeedATokenizer) {
  SamplingSection deck;
  deck.stop = {"end"};
  try {
    resolve_generation_options(deck, {}, test::tiny_config(), nullptr);
    FAIL() << "no UsageError";
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(),
                 "sampling.stop needs a tokenizer, and the checkpoint has none; use sampling.stop_token_ids");
  }
}

}  // namespace
}  // namespace m2
