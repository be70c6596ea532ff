// SPDX-License-Identifier: Apache-2.0
#include "text/utf8.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace m2 {
namespace {

std::string lossy(std::string_view bytes) {
  std::string out;
  if (append_whole_code_points(bytes, out) < bytes.size()) out += kReplacementCharacter;
  return out;
}

TEST(Utf8, EveryCodePointIsAccepted) {
  for (std::uint32_t code_point = 0; code_point <= 0x10FFFF; ++code_point) {
    if (code_point >= 0xD800 && code_point < 0xE000) continue;
    std::string text;
    append_code_point(code_point, text);
    ASSERT_EQ(find_invalid_utf8(text), std::nullopt) << code_point;
    ASSERT_EQ(lossy(text), text) << code_point;
  }
}

TEST(Utf8, OffsetOfTheFirstBadByte) {
  EXPECT_EQ(find_invalid_utf8(""), std::nullopt);
  EXPECT_EQ(find_invalid_utf8("a\x80"), 1u);
  EXPECT_EQ(find_invalid_utf8("\xC3\xA9\xFFx"), 2u);
  EXPECT_EQ(find_invalid_utf8("abc\xE4\xB8"), 3u) << "cut off at the end";
  EXPECT_EQ(find_invalid_utf8("\xC0\xAF"), 0u) << "overlong";
  EXPECT_EQ(find_invalid_utf8("\xED\xA0\x80"), 0u) << "surrogate";
  EXPECT_EQ(find_invalid_utf8("\xF4\x90\x80\x80"), 0u) << "beyond U+10FFFF";
}

// The examples of tables 3-8 to 3-11 in section 3.9 of the Unicode standard.
TEST(Utf8, OneReplacementForEachMaximalPart) {
  const std::string r(kReplacementCharacter);
  EXPECT_EQ(lossy("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(lossy("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(lossy("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"), r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(lossy("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
}

TEST(Utf8, StopsBeforeACutOffCodePoint) {
  std::string out;
  EXPECT_EQ(append_whole_code_points("x\xF0\x9F\x98", out), 1u);
  EXPECT_EQ(out, "x");
}

}  // namespace
}  // namespace m2
