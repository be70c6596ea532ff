// SPDX-License-Identifier: Apache-2.0
#include "text/byte_pair_merges.hpp"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <optional>
#include <random>
#include <string>

namespace m2 {
namespace {

using Ids = std::vector<std::int32_t>;

std::array<std::int32_t, 256> identity() {
  std::array<std::int32_t, 256> ids;
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

// The definition, without any cleverness: look for the merge of lowest rank, leftmost first, until there is none.
Ids plain_bpe(std::string_view piece, const std::vector<std::array<std::int32_t, 3>>& rules) {
  Ids ids(piece.begin(), piece.end());
  for (bool merged = true; merged;) {
    merged = false;
    for (const auto& [left, right, product] : rules) {
      for (std::size_t i = 0; i + 1 < ids.size() && !merged; ++i) {
        if (ids[i] != left || ids[i + 1] != right) continue;
        ids[i] = product;
        ids.erase(ids.begin() + i + 1);
        merged = true;
      }
      if (merged) break;
    }
  }
  return ids;
}

TEST(BytePairMerges, LowestRankFirstThenLeftmost) {
  BytePairMerges merges(identity(), 3);
  merges.add('b', 'c', 256);
  merges.add('a', 'b', 257);
  merges.add('a', 256, 258);
  Ids ids;
  merges.encode("abcabab", ids);
  EXPECT_EQ(ids, (Ids{258, 257, 257}));
  ids.clear();
  merges.encode("", ids);
  EXPECT_TRUE(ids.empty());
  BytePairMerges pairs(identity(), 1);
  pairs.add('a', 'a', 256);
  pairs.encode("aaa", ids);
  EXPECT_EQ(ids, (Ids{256, 'a'})) << "the left pair goes first";
}

// Random rules over an alphabet of three letters, so that merges compete everywhere; lengths on both sides of the
// switch from the scan to the queue.
TEST(BytePairMerges, AgreesWithTheDefinition) {
  std::mt19937 random(17);
  for (int round = 0; round < 40; ++round) {
    std::vector<std::array<std::int32_t, 3>> rules;
    std::map<std::pair<std::int32_t, std::int32_t>, bool> seen;
    std::vector<std::int32_t> tokens{'a', 'b', 'c'};
    BytePairMerges merges(identity(), 30);
    for (std::int32_t product = 256; product < 286; ++product) {
      const std::int32_t left = tokens[random() % tokens.size()], right = tokens[random() % tokens.size()];
      if (std::exchange(seen[{left, right}], true)) continue;
      rules.push_back({left, right, product});
      merges.add(left, right, product);
      tokens.push_back(product);
    }
    for (const std::size_t size : {1, 2, 3, 17, 47, 48, 49, 64, 257}) {
      std::string piece(size, ' ');
      for (char& c : piece) c = char('a' + random() % 3);
      Ids ids{-1};
      merges.encode(piece, ids);
      ASSERT_EQ(ids.front(), -1) << "encode appends";
      ids.erase(ids.begin());
      ASSERT_EQ(ids, plain_bpe(piece, rules)) << piece;
    }
  }
}

}  // namespace
}  // namespace m2
