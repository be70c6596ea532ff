// SPDX-License-Identifier: Apache-2.0
#include "infer/batch_scheduler.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "infer/fixture.hpp"

namespace m2 {
namespace {

using ::testing::ElementsAre;

class Batches : public ::testing::Test {
 protected:
  KVCache cache(std::int64_t num_pages) const {
    return {test::exec(), test::tiny_config(), DType::float32, num_pages, 4, 512};
  }
  void submit(BatchScheduler& scheduler, const std::vector<std::int64_t>& max_lengths) const {
    for (std::size_t i = 0; i < max_lengths.size(); ++i) {
      scheduler.submit(std::int64_t(i), prompts_[i].tokens, max_lengths[i]);
    }
  }
  // "0:0-5" is tokens 0 to 4 of sequence 0.
  static std::vector<std::string> chunks(const ScheduledStep& step) {
    std::vector<std::string> list;
    std::int64_t row = 0;
    for (const ScheduledChunk& chunk : step.chunks) {
      EXPECT_EQ(chunk.first_row, row);
      for (std::int64_t i = 0; i < chunk.count; ++i, ++row) {
        EXPECT_EQ(step.tokens.token_T[row], chunk.sequence->tokens[chunk.begin + i]);
        EXPECT_EQ(step.tokens.position_T[row], chunk.begin + i);
        EXPECT_EQ(step.tokens.cache_position_T[row], chunk.begin + i);
        EXPECT_EQ(step.tokens.sequence_T[row], chunk.sequence->cache_sequence);
      }
      list.push_back(fmt::format("{}:{}-{}", chunk.sequence->index, chunk.begin, chunk.begin + chunk.count));
    }
    EXPECT_EQ(step.tokens.size(), row);
    return list;
  }

  std::vector<Prompt> prompts_ = test::prompts_of({5, 7, 3, 2});
};

TEST_F(Batches, ThoseThatGoOnComeBeforePromptsBeingRead) {
  KVCache pages = cache(8);
  BatchScheduler scheduler(pages, 6, 3);
  submit(scheduler, {20, 20, 20, 20});
  ScheduledStep step = scheduler.next_step();
  EXPECT_THAT(chunks(step), ElementsAre("0:0-5", "1:0-1"));
  step.chunks[0].sequence->tokens.push_back(9);
  EXPECT_THAT(chunks(scheduler.next_step()), ElementsAre("0:5-6", "1:1-6"));
  EXPECT_THAT(chunks(scheduler.next_step()), ElementsAre("1:6-7", "2:0-3")) << "sequence 0 has nothing to feed";
  scheduler.remove(step.chunks[0].sequence);
  EXPECT_THAT(chunks(scheduler.next_step()), ElementsAre("3:0-2")) << "the place that became free is taken at once";
}

TEST_F(Batches, ASequenceWaitsUntilItsWholeLengthIsFree) {
  KVCache pages = cache(3);
  BatchScheduler scheduler(pages, 64, 4);
  submit(scheduler, {100, 100, 10, 10});  // two pages, two, one, one
  ScheduledStep step = scheduler.next_step();
  EXPECT_THAT(chunks(step), ElementsAre("0:0-5")) << "the short ones behind do not overtake";
  scheduler.remove(step.chunks[0].sequence);
  step = scheduler.next_step();
  EXPECT_THAT(chunks(step), ElementsAre("1:0-7", "2:0-3"));
  scheduler.remove(step.chunks[0].sequence);
  scheduler.remove(step.chunks[1].sequence);
  step = scheduler.next_step();
  EXPECT_THAT(chunks(step), ElementsAre("3:0-2"));
  EXPECT_FALSE(scheduler.done());
  scheduler.remove(step.chunks[0].sequence);
  EXPECT_TRUE(scheduler.done());
  EXPECT_EQ(pages.num_free_pages(), 3);
}

}  // namespace
}  // namespace m2
