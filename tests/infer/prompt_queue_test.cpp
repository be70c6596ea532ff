// SPDX-License-Identifier: Apache-2.0
#include "infer/prompt_queue.hpp"

#include <gmock/gmock.h>

#include "comm/one_rank.hpp"
#include "parallel/lockstep.hpp"

namespace m2 {
namespace {

using ::testing::ElementsAre;

TEST(PromptQueue, OneRankTakesPromptsInTheOrderOfTheInput) {
  const auto world = one_rank();
  PromptQueue queue(*world, std::vector<std::int64_t>{5, 9, 1, 7}, /*first=*/1, /*max_sequences=*/2);
  EXPECT_EQ(queue.sequences_per_rank(), 2);
  std::vector<std::int64_t> order;
  while (const auto index = queue.next()) order.push_back(*index);
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
}

TEST(PromptQueue, NobodyGetsMoreAfterClose) {
  const auto world = one_rank();
  PromptQueue queue(*world, std::vector<std::int64_t>{5, 9, 1}, 0, 16);
  EXPECT_EQ(queue.sequences_per_rank(), 3);
  EXPECT_EQ(queue.next(), 0);
  queue.close();
  EXPECT_EQ(queue.next(), std::nullopt);
}

TEST(Lockstep, GoesOnWhileThereIsWork) {
  Lockstep lockstep(nullptr, 0.0);
  EXPECT_TRUE(lockstep.another_pass(true));
  EXPECT_TRUE(lockstep.admits());
  EXPECT_FALSE(lockstep.another_pass(false));
  EXPECT_NO_THROW(lockstep.finish());
}

}  // namespace
}  // namespace m2
