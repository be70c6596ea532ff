// SPDX-License-Identifier: Apache-2.0
// Work handed out one by one, texts sent to rank 0, and who fails first.
#include <chrono>
#include <numeric>
#include <thread>

#include "comm/forms.hpp"
#include "comm/mpi/mailbox.hpp"
#include "comm/mpi/work_queue.hpp"
#include "comm/startup/first_failure.hpp"

namespace m2::test {
namespace {

using ::testing::ElementsAreArray;
using Values = std::vector<std::int64_t>;

Communicator& world() { return session().world(); }

TEST(WorkQueue, EachNumberGoesToOneRank) {
  constexpr int kCount = 1000;
  WorkQueue queue(world(), kCount);
  Values times(kCount, 0);
  for (std::int64_t i = queue.next(); i < kCount; i = queue.next()) ++times[i];
  EXPECT_EQ(queue.next(), kCount);
  Values sum(kCount, 0);
  const Values all = world().all_gather_values(times);
  for (std::size_t i = 0; i < all.size(); ++i) sum[i % kCount] += all[i];
  EXPECT_THAT(sum, ElementsAreArray(Values(kCount, 1)));
}

TEST(WorkQueue, OthersAreServedWhileRank0WaitsInACollective) {
  WorkQueue queue(world(), 100);
  std::int64_t taken = 0;
  if (world().rank() != 0) {
    while (queue.next() < 100) ++taken;
  }
  const Values all = world().all_gather_values(Values{taken});
  EXPECT_EQ(std::accumulate(all.begin(), all.end(), std::int64_t(0)), world().size() == 1 ? 0 : 100);
}

TEST(WorkQueue, ClosedByAnyRankItGivesNothing) {
  WorkQueue queue(world(), 100);
  EXPECT_LT(queue.next(), 100);
  world().barrier();
  if (world().rank() == world().size() - 1) queue.close();
  world().barrier();
  EXPECT_EQ(queue.next(), 100);
  queue.close();
  EXPECT_EQ(queue.next(), 100);
}

TEST(WorkQueue, Empty) {
  WorkQueue queue(world(), 0);
  EXPECT_EQ(queue.next(), 0);
}

std::string text_of(int rank, int i) { return std::to_string(rank) + ":" + std::to_string(i); }

// Moves each rank's texts to its own list, in the order they came.
void sort_in(const std::vector<std::string>& texts, std::vector<std::vector<std::string>>& by_rank) {
  for (const std::string& text : texts) by_rank[text[0] - '0'].push_back(text);
}

TEST(Mailbox, TextsOfARankComeInOrderAndNoneIsLost) {
  Mailbox mailbox(world());
  std::vector<std::vector<std::string>> by_rank(world().size());
  for (int i = 0; i < 300; ++i) {
    mailbox.send(text_of(world().rank(), i));
    sort_in(mailbox.poll(), by_rank);
  }
  sort_in(mailbox.drain(), by_rank);
  for (int r = 0; r < world().size(); ++r) {
    std::vector<std::string> expected;
    for (int i = 0; i < 300; ++i) expected.push_back(text_of(r, i));
    EXPECT_EQ(by_rank[r], world().rank() == 0 ? expected : std::vector<std::string>()) << r;
  }
  EXPECT_TRUE(mailbox.drain().empty());
}

TEST(Mailbox, LargeAndEmptyTexts) {
  Mailbox mailbox(world());
  const std::string large(5'000'000, char('0' + world().rank()));
  if (world().rank() == world().size() - 1) {
    mailbox.send("");
    mailbox.send(large);
    mailbox.send("the end");
  }
  const std::vector<std::string> texts = mailbox.drain();
  const std::string last_large(5'000'000, char('0' + world().size() - 1));
  const std::vector<std::string> expected{"", last_large, "the end"};
  EXPECT_EQ(texts, world().rank() == 0 ? expected : std::vector<std::string>());
}

TEST(Mailbox, ArrivesWithoutDrain) {
  Mailbox mailbox(world());
  mailbox.send(text_of(world().rank(), 0));
  std::vector<std::vector<std::string>> by_rank(world().size());
  std::int64_t missing = world().rank() == 0 ? world().size() : 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (missing > 0 && std::chrono::steady_clock::now() < end) {
    const std::vector<std::string> texts = mailbox.poll();
    missing -= std::int64_t(texts.size());
    if (texts.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(missing, 0);
}

TEST(Mailbox, WhatNobodyTakesDoesNotKeepItFromEnding) {
  {
    Mailbox mailbox(world());
    mailbox.send(std::string(3'000'000, 'x'));
  }  // hangs if it waits for somebody to take it
  EXPECT_TRUE(Mailbox(world()).drain().empty()) << "the next mailbox got it";
}

TEST(FirstFailure, OneRankIsFirst) {
  if (world().size() == 1) GTEST_SKIP() << "needs several ranks";
  for (const bool ask_rank_0 : {false, true}) {
    FirstFailure failure(MPI_COMM_WORLD, ask_rank_0);
    const Values claims = world().all_gather_values(Values{failure.claim() ? 1 : 0});
    EXPECT_EQ(std::accumulate(claims.begin(), claims.end(), std::int64_t(0)), 1) << ask_rank_0;
    EXPECT_FALSE(failure.claim());
  }
}

}  // namespace
}  // namespace m2::test
