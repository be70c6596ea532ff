// SPDX-License-Identifier: Apache-2.0
#include "infer/generation_options.hpp"

#include <gmock/gmock.h>

#include "core/error.hpp"
#include "fixture.hpp"

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
