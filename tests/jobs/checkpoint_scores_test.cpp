// SPDX-License-Identifier: Apache-2.0
#include "jobs/checkpoint_scores.hpp"

#include <gmock/gmock.h>

#include <limits>

#include "core/error.hpp"
#include "io/temporary_folder.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

constexpr std::int64_t kEnough = std::numeric_limits<std::int64_t>::max();

class CheckpointScores : public ::testing::Test {
 protected:
  CheckpointScores() : model(MiniMaxM2ForCausalLM::from_pretrained(M2_TEST_DATA "/tiny-f32", {.exec = exec()})) {
    const std::vector<int> tokens{5, 9, 17, 4, 200, 33};
    sequences.add(tokens, tokens);
    model.train();
    model.save_pretrained(folder / "saved");
  }

  TemporaryFolder folder;
  MiniMaxM2ForCausalLM model;
  TrainingSequences sequences;
};

TEST_F(CheckpointScores, OfAFaithfulCheckpointAgree) {
  EXPECT_TRUE(require_same_scores(folder / "saved", model, sequences, kEnough));
}

TEST_F(CheckpointScores, OfAnotherModelAreRefused) {
  const View3D<float> head = model.lm_head.values<float>();
  Kokkos::parallel_for(
      "test::one_value", Kokkos::RangePolicy<ExecSpace>(exec(), 0, 1), KOKKOS_LAMBDA(int) { head(0, 7, 3) += 0.5f; });
  exec().fence("test: a weight has changed");
  EXPECT_THAT([&] { require_same_scores(folder / "saved", model, sequences, kEnough); },
              ::testing::ThrowsMessage<Error>(::testing::HasSubstr("does not score as the model")));
}

TEST_F(CheckpointScores, AreLeftOutWhereTheMemoryIsTooSmall) {
  EXPECT_FALSE(require_same_scores(folder / "saved", model, sequences, 1 << 20));
}

}  // namespace
}  // namespace m2::test
