// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/load/shared_slabs.hpp"

#include <gmock/gmock.h>

#include "checkpoint/share_by_bytes.hpp"

namespace m2 {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Sizes = std::vector<std::uint64_t>;

TEST(DivideByBytes, LargestFirstToTheLeastLoaded) {
  EXPECT_THAT(divide_by_bytes(Sizes{1, 10, 4, 5, 2}, 2), ElementsAre(0, 0, 1, 1, 1));  // 11 each
  EXPECT_THAT(divide_by_bytes(Sizes{7, 7, 7}, 4), ElementsAre(0, 1, 2));
  EXPECT_THAT(divide_by_bytes(Sizes{3, 1}, 1), ElementsAre(0, 0));
  EXPECT_THAT(divide_by_bytes({}, 3), IsEmpty());
}

TEST(OrderOfReadiness, WhatIsReadFirstComesFirst) {
  // Rank 0 reads 5, then 5; rank 1 reads 3, then 3, then 3.
  EXPECT_THAT(order_of_readiness(Sizes{5, 3, 3, 5, 3}, std::vector{0, 1, 1, 0, 1}, 2), ElementsAre(1, 0, 2, 4, 3));
}

TEST(ShareByBytes, EachItemOnceInOrderAndEvenly) {
  const std::vector<int> items{5, 1, 1, 1, 1, 1, 30, 2, 2, 2, 2, 2, 10};
  const auto bytes = [](int item) { return item; };
  for (const int num_ranks : {1, 2, 3, 4, 20}) {
    std::vector<int> joined;
    for (int rank = 0; rank < num_ranks; ++rank) {
      const std::vector<int> share = share_by_bytes(items, bytes, rank, num_ranks);
      int sum = 0;
      for (const int item : share) sum += item;
      EXPECT_LE(sum, 60 / num_ranks + 30) << "an equal share and what may stick out of it";
      joined.insert(joined.end(), share.begin(), share.end());
    }
    EXPECT_EQ(joined, items) << num_ranks;
  }
  EXPECT_THAT(share_by_bytes(std::vector{1, 1, 1, 1}, bytes, 1, 2), ElementsAre(1, 1));
}

}  // namespace
}  // namespace m2
