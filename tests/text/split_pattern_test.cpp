// SPDX-License-Identifier: Apache-2.0
#include "text/split_pattern.hpp"

#include <gmock/gmock.h>

#include "core/error.hpp"

namespace m2 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> split(std::string_view pattern, std::string_view text,
                               SplitPattern::Unmatched unmatched = SplitPattern::Unmatched::keep) {
  SplitPattern splitter(pattern, unmatched, "pattern");
  std::vector<std::string_view> pieces;
  splitter.split(text, pieces);
  return {pieces.begin(), pieces.end()};
}

std::string error_of(std::string_view pattern, std::string_view text) {
  try {
    split(pattern, text);
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

TEST(SplitPattern, TextBetweenMatches) {
  EXPECT_THAT(split("[0-9]+", "ab12c3"), ElementsAre("ab", "12", "c", "3"));
  EXPECT_THAT(split("[0-9]+", "ab12c3d", SplitPattern::Unmatched::drop), ElementsAre("12", "3"));
  EXPECT_THAT(split("[0-9]+", ""), IsEmpty());
  EXPECT_THAT(split("x", "abc"), ElementsAre("abc"));
}

TEST(SplitPattern, EmptyMatchesSeparateWholeCodePoints) {
  EXPECT_THAT(split("x*", "aéxx中"), ElementsAre("a", "é", "xx", "中"));
}

TEST(SplitPattern, UnicodePropertiesAndLookahead) {
  EXPECT_THAT(split(R"(\p{Lu}|\p{N}|\s+(?!\S)|\s)", "Äb٣   x"), ElementsAre("Ä", "b", "٣", "  ", " ", "x"));
  EXPECT_THAT(split("(?i:'s|'t)", "it's 'T'ſ"), ElementsAre("it", "'s", " ", "'T", "'ſ"));
}

// Unicode's white space, inside and outside of classes, is what the reference's \s means: U+0085 and U+3000 are, U+180E
// (which PCRE2's own \s matches), U+200B and U+001C are not.
TEST(SplitPattern, WhiteSpaceIsThatOfUnicode) {
  const std::string text =
      "a\xC2\x85"
      "b\xE3\x80\x80"
      "c\xE1\xA0\x8E"
      "d\xE2\x80\x8B"
      "e\x1C"
      "f";
  const auto words = ElementsAre("a", "b",
                                 "c\xE1\xA0\x8E"
                                 "d\xE2\x80\x8B"
                                 "e\x1C"
                                 "f");
  EXPECT_THAT(split(R"(\S+)", text, SplitPattern::Unmatched::drop), words);
  EXPECT_THAT(split(R"([^\s]+)", text, SplitPattern::Unmatched::drop), words);
  EXPECT_THAT(split(R"(\\s)", R"(a\sb c)"), ElementsAre("a", R"(\s)", "b c")) << "an escaped backslash is not \\s";
}

TEST(SplitPattern, BadPatternsAreRefused) {
  EXPECT_THAT(error_of("a(b", "ab"), HasSubstr("pattern is not a regular expression that PCRE2"));
  EXPECT_THAT(error_of("a(b", "ab"), HasSubstr("missing closing parenthesis"));
  EXPECT_THAT(error_of(R"(\C)", "ab"), HasSubstr("is disabled"));
  EXPECT_THAT(error_of(std::string(70000, 'a'), "ab"), HasSubstr("pattern has 70000 bytes; at most 65536 are read"));
}

TEST(SplitPattern, EndlessBacktrackingEndsWithAnError) {
  EXPECT_THAT(error_of("(a+)+$", std::string(64, 'a') + "b"),
              HasSubstr("the split pattern of the tokenizer failed at byte 0 of a text of 65 bytes: PCRE2 error"));
}

}  // namespace
}  // namespace m2
