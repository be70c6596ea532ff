// SPDX-License-Identifier: Apache-2.0
#include "text/added_tokens.hpp"

#include <gtest/gtest.h>

namespace m2 {
namespace {

std::vector<std::int32_t> find_all(const AddedTokenFinder& finder, std::string_view text) {
  std::vector<std::int32_t> ids;
  std::size_t from = 0;
  while (const auto match = finder.find(text, from)) {
    ids.push_back(match->id);
    from = match->end;
  }
  return ids;
}

TEST(AddedTokenFinder, LeftmostThenLongest) {
  const AddedTokenFinder finder({{"ab", 1}, {"abcd", 2}, {"bcdefg", 3}, {"b", 4}, {"\xE4\xB8\xAD", 5}});
  EXPECT_EQ(find_all(finder, "abcdefg"), (std::vector<std::int32_t>{2})) << "3 begins later, though it is longer";
  EXPECT_EQ(find_all(finder, "abcdabcx"), (std::vector<std::int32_t>{2, 1}));
  EXPECT_EQ(find_all(finder, "bcdefgb\xE4\xB8\xAD"), (std::vector<std::int32_t>{3, 4, 5}));
  EXPECT_EQ(find_all(finder, "bcdefb"), (std::vector<std::int32_t>{4, 4})) << "falls back to the shorter token";
  EXPECT_TRUE(find_all(finder, "xyz a").empty());
}

TEST(AddedTokenFinder, GivesThePlace) {
  const AddedTokenFinder finder({{"<s>", 7}});
  const auto match = finder.find("<s> <<s>", 1);
  ASSERT_TRUE(match.has_value());
  EXPECT_EQ(match->begin, 5u);
  EXPECT_EQ(match->end, 8u);
  EXPECT_FALSE(AddedTokenFinder({}).find("<s>", 0).has_value());
}

}  // namespace
}  // namespace m2
