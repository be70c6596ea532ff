// SPDX-License-Identifier: Apache-2.0
// What the case table's random logits don't reach: the edges of a row, of the chunks it is cut into, and of numbers.
#include "kernels/rowwise/top_tokens.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <utility>

#include "support/compare.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

using Top = std::vector<std::pair<float, int>>;

Top top_of(const std::vector<float>& logits, int count, const std::vector<int>& never = {}) {
  const auto vocab_size = int(logits.size());
  std::vector<std::uint8_t> mask(logits.size(), 0);
  for (const int id : never) mask[id] = 1;
  const View2D<TokenScore> scratch("test::scratch", 1, top_tokens_scratch(vocab_size)), top("test::top", 1, count);
  top_tokens(exec(), to_device<float>(logits, 1, vocab_size), integers_to_device<std::uint8_t>(mask), scratch, top);
  Top out;
  for (const TokenScore& each : to_host_as_is(top)) out.emplace_back(each.score, each.token);
  return out;
}

TEST(TopTokens, TheLargestFirstAndOfEqualsTheLowest) {
  EXPECT_THAT(top_of({1.0f, 3.0f, 2.0f, 3.0f}, 3), ElementsAre(Pair(3.0f, 1), Pair(3.0f, 3), Pair(2.0f, 2)));
  EXPECT_THAT(top_of({-0.0f, 0.0f, -0.0f}, 2), ElementsAre(Pair(0.0f, 0), Pair(0.0f, 1))) << "zeros are equal";
}

TEST(TopTokens, EqualsInOneChunkAndInSeveralComeInTheirOrder) {
  std::vector<float> logits(200'064, -1.0f);
  for (const int id : {5, 6, 1023, 1024, 70'000, 70'001, 200'063}) logits[id] = 2.0f;
  EXPECT_THAT(top_of(logits, 9),
              ElementsAre(Pair(2.0f, 5), Pair(2.0f, 6), Pair(2.0f, 1023), Pair(2.0f, 1024), Pair(2.0f, 70'000),
                          Pair(2.0f, 70'001), Pair(2.0f, 200'063), Pair(-1.0f, 0), Pair(-1.0f, 1)));
}

TEST(TopTokens, AllOfOneChunkMayBeTheLargest) {
  std::vector<float> logits(3 * 1024, 0.0f);
  for (int id = 1024; id < 2048; ++id) logits[id] = float(id);
  const Top top = top_of(logits, 1026);
  for (int k = 0; k < 1024; ++k) ASSERT_EQ(top[k], std::pair(float(2047 - k), 2047 - k));
  EXPECT_EQ(top[1024], std::pair(0.0f, 0));
  EXPECT_EQ(top[1025], std::pair(0.0f, 1));
}

TEST(TopTokens, WhatIsNeverChosenIsLeftOutWhateverItsLogit) {
  EXPECT_THAT(top_of({1.0f, NAN, 2.0f, INFINITY}, 2, {1, 3}), ElementsAre(Pair(2.0f, 2), Pair(1.0f, 0)));
  EXPECT_THAT(top_of({1.0f, 2.0f}, 2, {0, 1}), ElementsAre(Pair(-INFINITY, -1), Pair(-INFINITY, -1)));
}

TEST(TopTokens, ARowWithFewerTokensEndsWithNone) {
  EXPECT_THAT(top_of({1.0f, -INFINITY, 2.0f}, 5),
              ElementsAre(Pair(2.0f, 2), Pair(1.0f, 0), Pair(-INFINITY, -1), Pair(-INFINITY, -1), Pair(-INFINITY, -1)));
  EXPECT_THAT(top_of({-INFINITY}, 1), ElementsAre(Pair(-INFINITY, -1)));
}

TEST(TopTokens, NanCountsAsInfinity) {
  EXPECT_THAT(top_of({1.0f, 7.0f, -NAN, 2.0f}, 2), ElementsAre(Pair(INFINITY, 2), Pair(7.0f, 1)));
  EXPECT_THAT(top_of({1.0f, INFINITY, NAN}, 3), ElementsAre(Pair(INFINITY, 1), Pair(INFINITY, 2), Pair(1.0f, 0)));
  std::vector<float> logits(5000, 1.0f);
  logits[4999] = NAN;
  EXPECT_THAT(top_of(logits, 1), ElementsAre(Pair(INFINITY, 4999)));
}

TEST(TopTokens, TheLowestFiniteLogitIsAToken) {
  constexpr float kLowest = -Kokkos::Experimental::finite_max_v<float>;
  EXPECT_THAT(top_of({-INFINITY, kLowest}, 2), ElementsAre(Pair(kLowest, 1), Pair(-INFINITY, -1)));
}

}  // namespace
}  // namespace m2::test
