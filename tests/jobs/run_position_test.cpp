// SPDX-License-Identifier: Apache-2.0
#include "jobs/run_position.hpp"

#include <gmock/gmock.h>

#include "core/error.hpp"

namespace m2::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

Deck some_deck() {
  Deck deck;
  deck.job = Job::train;
  deck.train.steps = 10;
  return deck;
}

TEST(RunPosition, ReadsBackAsItWasWritten) {
  RunPosition position{.step = 7, .data = {.epoch = 2, .sequence = 5}, .trainer = {.updates = 6, .num_skipped = 1}};
  position.validated_step = 6;
  position.best_validation = 0.1 + 0.2;  // every bit
  position.best_step = 4;
  const RunPosition read = read_position(position_json(position, some_deck(), 3), "run/step-7.h5");
  EXPECT_EQ(read.step, 7);
  EXPECT_EQ(read.data, position.data);
  EXPECT_EQ(read.trainer.updates, 6);
  EXPECT_EQ(read.trainer.num_skipped, 1);
  EXPECT_EQ(read.validated_step, 6);
  EXPECT_EQ(read.best_validation, position.best_validation);
  EXPECT_EQ(read.best_step, 4);
  EXPECT_EQ(read_position(position_json({}, some_deck(), 3), "f").best_validation, std::nullopt);
}

TEST(RunPosition, RefusesWhatNoRunWrote) {
  EXPECT_THAT([] { read_position("{\"step\": 1}", "run/step-1.h5"); },
              ThrowsMessage<Error>(AllOf(HasSubstr("run/step-1.h5"), HasSubstr("/trainer"))));
}

TEST(RunPosition, OfAnotherRunNamesTheKeys) {
  const std::string json = position_json({}, some_deck(), /*data_fingerprint=*/3);
  EXPECT_NO_THROW(require_same_run(some_deck(), 3, json, "f"));
  Deck deck = some_deck();
  deck.train.micro_batch = 4;  // steers no step
  deck.checkpoint.every = 5;
  deck.data.file = "moved.jsonl";
  EXPECT_NO_THROW(require_same_run(deck, 3, json, "f"));
  EXPECT_THAT([&] { require_same_run(deck, 4, json, "f"); }, ThrowsMessage<Error>(HasSubstr("other contents")));
  deck.schedule.warmup_steps = 2;
  EXPECT_THAT([&] { require_same_run(deck, 3, json, "f"); },
              ThrowsMessage<Error>(HasSubstr("schedule.warmup_steps: 2 now, 0 when it was saved")));
  Deck with_moe = some_deck();
  with_moe.moe_overrides["aux_loss_coeff"] = "0.1";
  const std::string other = position_json({}, with_moe, 3);
  EXPECT_THAT([&] { require_same_run(some_deck(), 3, other, "f"); },
              ThrowsMessage<Error>(HasSubstr("moe.aux_loss_coeff: not set now, 0.1 when it was saved")));
}

}  // namespace
}  // namespace m2::test
