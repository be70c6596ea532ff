// SPDX-License-Identifier: Apache-2.0
#include "train/data/packing.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>

#include "train/data/random_order.hpp"

namespace m2 {
namespace {

using ::testing::ElementsAre;

std::vector<std::vector<std::int64_t>> sequences(const SequencePlan& plan) {
  std::vector<std::vector<std::int64_t>> all;
  for (std::int64_t s = 0; s < plan.num_sequences(); ++s) {
    all.emplace_back(plan.sequence(s).begin(), plan.sequence(s).end());
  }
  return all;
}

TEST(Packing, BestFit) {
  const std::vector<std::int64_t> lengths{6, 5, 4, 7, 3, 5};
  EXPECT_THAT(sequences(pack(lengths, 10, 8)), ElementsAre(ElementsAre(0, 2), ElementsAre(3, 4), ElementsAre(1, 5)));
  EXPECT_THAT(sequences(pack(lengths, 10, 1)),
              ElementsAre(ElementsAre(0), ElementsAre(1, 2), ElementsAre(3, 4), ElementsAre(5)))
      << "one open sequence keeps the order";
  EXPECT_THAT(sequences(pack(std::vector<std::int64_t>{5, 8, 6, 4}, 10, 2)),
              ElementsAre(ElementsAre(1), ElementsAre(2, 3), ElementsAre(0)))
      << "the fullest of two is finished for the third";
  EXPECT_THAT(sequences(one_each(3)), ElementsAre(ElementsAre(0), ElementsAre(1), ElementsAre(2)));
}

TEST(Packing, EveryItemOnceAndNothingTooLong) {
  std::vector<std::int64_t> lengths;
  for (std::int64_t i = 0; i < 5000; ++i) {
    lengths.push_back(1 + std::int64_t(999 * random_fraction(3, {RandomPurpose::Kind::holdout}, i)));
  }
  const SequencePlan plan = pack(lengths, 1000, 64);
  std::vector<std::int64_t> sorted = plan.items;
  std::ranges::sort(sorted);
  std::vector<std::int64_t> all(lengths.size());
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(sorted, all);
  for (const auto& sequence : sequences(plan)) {
    std::int64_t sum = 0;
    for (const std::int64_t item : sequence) sum += lengths[std::size_t(item)];
    EXPECT_LE(sum, 1000);
  }
  // Lengths of 500 on average, any from 1 to 999: two pieces of complementary length fill a sequence, and 64 open ones
  // find such a partner with a gap of about 1000 / 64.
  const std::int64_t total = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  EXPECT_GT(double(total) / double(1000 * plan.num_sequences()), 0.95);
}

TEST(RandomOrder, IsAPermutationOfItsArguments) {
  constexpr RandomPurpose kOrder{RandomPurpose::Kind::epoch_order}, kRound{RandomPurpose::Kind::file_round};
  const auto order = random_order(1000, 7, kOrder, 0);
  auto sorted = order;
  std::ranges::sort(sorted);
  EXPECT_NE(order, sorted);
  for (std::size_t i = 0; i < sorted.size(); ++i) EXPECT_EQ(sorted[i], std::int64_t(i));
  EXPECT_EQ(order, random_order(1000, 7, kOrder, 0));
  EXPECT_NE(order, random_order(1000, 7, kOrder, 1));
  EXPECT_NE(order, random_order(1000, 8, kOrder, 0));
  EXPECT_NE(order, random_order(1000, 7 + (std::int64_t{1} << 32), kOrder, 0)) << "the upper half of a seed counts";
  EXPECT_NE(order, random_order(1000, 7, kRound, 0));
  EXPECT_NE(order, random_order(1000, 7, {RandomPurpose::Kind::epoch_order, 1}, 0));
  // Never to change: positions in saved trainings point into these orders.
  EXPECT_THAT(random_order(8, 0, kOrder, 0), ElementsAre(3, 6, 0, 7, 4, 5, 2, 1));
}

TEST(RandomOrder, EveryPlaceIsAsLikely) {
  constexpr int kRounds = 6000, kCount = 6;
  std::vector<std::vector<int>> times(kCount, std::vector<int>(kCount));
  for (int round = 0; round < kRounds; ++round) {
    const auto order = random_order(kCount, 1, {RandomPurpose::Kind::epoch_order}, round);
    for (std::size_t place = 0; place < kCount; ++place) ++times[place][std::size_t(order[place])];
  }
  // 1000 expected, standard deviation sqrt(6000 x 1/6 x 5/6) = 29; five of them.
  for (const auto& row : times)
    EXPECT_THAT(row, ::testing::Each(::testing::AllOf(::testing::Gt(855), ::testing::Lt(1145))));
}

}  // namespace
}  // namespace m2
