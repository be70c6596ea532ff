// SPDX-License-Identifier: Apache-2.0
#include "infer/generated_text.hpp"

#include <gtest/gtest.h>

#include "io/file.hpp"

namespace m2 {
namespace {

const Tokenizer& tokenizer() {
  static const std::string path = M2_TEST_DATA "/tokenizer/tokenizer.json";
  static const Tokenizer instance = Tokenizer::from_json(read_text_file(path), path);
  return instance;
}

struct Outcome {
  std::string text;
  std::string streamed;
  std::size_t num_tokens;
};

Outcome run(const std::vector<std::int32_t>& tokens, const std::vector<std::string>& stop) {
  GeneratedText generated(tokenizer(), stop);
  Outcome outcome{};
  for (const std::int32_t token : tokens) {
    ++outcome.num_tokens;
    const bool stopped = generated.push(token);
    outcome.streamed += generated.take_certain();
    EXPECT_TRUE(generated.text().starts_with(outcome.streamed)) << "streamed text is never taken back";
    if (stopped) break;
  }
  generated.finish();
  outcome.streamed += generated.take_certain();
  outcome.text = generated.text();
  return outcome;
}

// One token for each byte: every stop string spans several.
std::vector<std::int32_t> bytes_of(std::string_view text) {
  std::vector<std::int32_t> tokens;
  for (const char c : text) {
    for (const std::int32_t id : tokenizer().encode(std::string(1, c))) tokens.push_back(id);
  }
  return tokens;
}

TEST(GeneratedText, EndsBeforeAStopStringThatSpansTokens) {
  const Outcome result = run(bytes_of("one two three"), {"wo t"});
  EXPECT_EQ(result.text, "one t");
  EXPECT_EQ(result.streamed, "one t");
  EXPECT_EQ(result.num_tokens, std::string("one two t").size()) << "the token that completes it is the last";
}

TEST(GeneratedText, TheStopStringThatBeginsFirstCounts) {
  EXPECT_EQ(run(tokenizer().encode("KokkosM2 is a program"), {"program", "is a pro"}).text, "KokkosM2 ");
  EXPECT_EQ(run(bytes_of("xaab"), {"ab"}).text, "xa") << "a false beginning before the real one";
}

TEST(GeneratedText, HoldsBackWhatMayBecomeAStopString) {
  const std::vector<std::string> stop{"END", "E!"};
  GeneratedText generated(tokenizer(), stop);
  std::vector<std::string> pieces;
  for (const std::int32_t token : bytes_of("aENxE")) {
    EXPECT_FALSE(generated.push(token));
    pieces.emplace_back(generated.take_certain());
  }
  generated.finish();
  pieces.emplace_back(generated.take_certain());
  EXPECT_EQ(pieces, (std::vector<std::string>{"a", "", "", "ENx", "", "E"}));
}

TEST(GeneratedText, NeverGivesHalfACodePoint) {
  const std::string text = "\xE6\xBC\xA2\xF0\x9F\x99\x82";  // a Han character and an emoji
  GeneratedText generated(tokenizer(), {});
  std::string streamed;
  for (const std::int32_t token : tokenizer().encode(text)) {
    generated.push(token);
    streamed += generated.take_certain();
  }
  EXPECT_EQ(streamed, text);
  const std::vector<std::int32_t> tokens = tokenizer().encode(text);
  ASSERT_GT(tokens.size(), 1u) << "the fixture's vocabulary has no token for both";
  EXPECT_TRUE(run({tokens.begin(), tokens.end() - 1}, {}).text.ends_with("\xEF\xBF\xBD")) << "cut off: U+FFFD";
}

TEST(GeneratedText, LeavesSpecialTokensOut) {
  std::vector<std::int32_t> tokens = tokenizer().encode("a");
  tokens.push_back(tokenizer().find("[e~[").value());
  tokens.push_back(tokenizer().find("</think>").value());
  EXPECT_EQ(run(tokens, {}).text, "a</think>") << "the end of the thoughts is no special token";
}

}  // namespace
}  // namespace m2
