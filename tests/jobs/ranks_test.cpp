// SPDX-License-Identifier: Apache-2.0
// What a job does on several ranks, part by part; whole jobs are in tests/cli/m2_ranks_test.cpp.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>

#include "core/error.hpp"
#include "infer/prompt_queue.hpp"
#include "jobs/job_model.hpp"
#include "jobs/memory_plan.hpp"
#include "jobs/same_on_ranks.hpp"
#include "support/ranks.hpp"

namespace m2::test {
namespace {

using ::testing::ElementsAreArray;
using ::testing::ThrowsMessage;

Communicator& world() { return session().world(); }

TEST(SameOnRanks, TheFirstLineThatDiffersIsNamedOnEveryRank) {
  const bool is_last = world().rank() == world().size() - 1;
  EXPECT_NO_THROW(require_same_lines("decks", "a: 1\nb: 2\n", "give all the same", world()));
  const int last = world().size() - 1;
  EXPECT_THAT([&] { require_same_lines("decks", is_last ? "a: 1\nb: 3\n" : "a: 1\nb: 2\n", "do this", world()); },
              ThrowsMessage<UsageError>(
                  fmt::format("the ranks have different decks: rank 0 found 'b: 2', rank {} 'b: 3'; do this", last)));
  EXPECT_THAT([&] { require_same_lines("kernels", is_last ? "" : "avx2", "do this", world()); },
              ThrowsMessage<UsageError>(fmt::format(
                  "the ranks have different kernels: rank 0 found 'avx2', rank {} 'no more lines'; do this", last)));
}

// Ranks take turns, so that the order in which prompts are given out can be seen.
TEST(PromptQueueOnRanks, OfEachWindowTheLongestComesFirstWhoeverAsks) {
  const int size = world().size(), max_sequences = 2;
  const std::int64_t first = 3, count = 4 * size * max_sequences, window = count;
  std::vector<std::int64_t> lengths(first + window + count / 2);
  for (std::size_t i = 0; i < lengths.size(); ++i) lengths[i] = std::int64_t(7 * i % 11);  // with equal ones
  std::vector<std::int64_t> expected(lengths.size() - first);
  std::iota(expected.begin(), expected.end(), first);
  const auto longest_first = [&](auto begin, auto end) {
    std::stable_sort(begin, end, [&](auto a, auto b) { return lengths[a] > lengths[b]; });
  };
  longest_first(expected.begin(), expected.begin() + window);
  longest_first(expected.begin() + window, expected.end());

  PromptQueue queue(world(), lengths, first, max_sequences);
  std::vector<std::int64_t> given;
  for (std::size_t turn = 0; turn <= expected.size(); ++turn) {
    const std::int64_t own = turn % size == std::size_t(world().rank()) ? queue.next().value_or(-1) : -2;
    given.push_back(world().max_values(std::vector{own})[0]);
  }
  expected.push_back(-1);  // nothing is left
  EXPECT_THAT(given, ElementsAreArray(expected));
}

// Eight experts on three ranks: 2, 3 and 3.
TEST(MemoryPlanOnRanks, AreTheBytesThatTheRanksWeightsTake) {
  for (const std::string name : {"tiny-fp8", "tiny-bf16"}) {
    Deck deck;
    deck.model.checkpoint = std::string(M2_TEST_DATA "/") + name;
    JobModel job(deck, world());
    const MemoryPlan plan = plan_memory(job.model(), std::vector<std::int64_t>{10}, 0, deck, world());
    job.load();
    std::int64_t bytes = 0;
    for (const Parameter& parameter : job.model().parameters()) {
      bytes += parameter.weight
                   ? parameter.weight->bytes() + std::int64_t(parameter.weight->scale_inv().size() * sizeof(float))
                   : std::int64_t(parameter.vector->size() * sizeof(float));
    }
    EXPECT_EQ(plan.total_weight_bytes(), bytes) << name;
    const std::vector<std::int64_t> all = world().all_gather_values(std::vector{bytes});
    const int experts = job.model().config().num_local_experts;
    if (experts % world().size() == 0) continue;
    EXPECT_LT(all.front(), all.back()) << "the split is uneven, and the plan follows it";
  }
}

}  // namespace
}  // namespace m2::test
