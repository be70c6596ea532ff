// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoint/checkpoint_write.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "checkpoint/inspect/diff.hpp"
#include "checkpoint/inspect/info.hpp"
#include "checkpoint/inspect/verify.hpp"
#include "core/error.hpp"
#include "io/temporary_folder.hpp"
#include "train/checkpoint/load_state.hpp"
#include "train/checkpoint/read_back.hpp"
#include "train/checkpoint/small_run.hpp"

namespace m2 {
namespace {

using test::fixture;
using test::flip_bit;
using test::HuggingFaceFolder;
using test::SmallRun;
using test::TemporaryFolder;
using test::write_checkpoint;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::ThrowsMessage;

class CheckpointWriteOf : public ::testing::TestWithParam<std::string> {};

TEST_P(CheckpointWriteOf, ComesBackBitForBit) {
  const TemporaryFolder folder;
  SmallRun run(GetParam());
  EXPECT_TRUE(write_checkpoint(run, folder / "step-7.h5"));
  EXPECT_THAT(folder.names(), ElementsAre("step-7.h5"));
  read_back(folder / "step-7.h5");

  auto loaded = MiniMaxM2ForCausalLM::from_pretrained(folder / "step-7.h5", {.exec = test::exec()});
  EXPECT_TRUE(test::model_bytes(loaded) == test::model_bytes(run.model));
  const auto source = open_checkpoint(folder / "step-7.h5");
  EXPECT_EQ(read_trainer_state(*source).json, "{\"step\": 7}");
  const auto before = run.optimizer();
  run.forget();
  load_state(*source, run.states, test::exec());
  EXPECT_TRUE(run.optimizer() == before);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, CheckpointWriteOf, ::testing::Values("tiny-f32", "tiny-bf16", "tiny-fp8", "demo"),
                         test::fixture_test_name);

TEST(CheckpointWrite, OtherStatesThanFloat32KeepTheirBits) {
  const TemporaryFolder folder;
  SmallRun run("tiny-f32");
  const View1D<Bf16> moment = test::to_device<Bf16>(test::normal(64, 5));
  run.states = {{"norm/m", DType::bfloat16, {64}, reinterpret_cast<std::byte*>(moment.data())}};
  write_checkpoint(run, folder / "step-7.h5");
  const std::vector<float> before = test::to_host(moment);
  Kokkos::deep_copy(moment, Bf16(0.0f));
  load_state(*open_checkpoint(folder / "step-7.h5"), run.states, test::exec());
  EXPECT_EQ(test::to_host(moment), before);
}

// In float32 nothing is held in another dtype than it came in.
TEST(CheckpointWrite, TheModelIsAsInAFileOfConvert) {
  const TemporaryFolder folder;
  SmallRun run("tiny-f32");
  write_checkpoint(run, folder / "step-7.h5");
  import_checkpoint(*open_checkpoint(fixture("tiny-f32")), folder / "model.h5", DTypeChoice::keep);
  const Hdf5Reader ours(folder / "step-7.h5"), imported(folder / "model.h5");
  for (const Hdf5Dataset& expected : imported.datasets()) {
    const Hdf5Dataset* const found = ours.find(expected.name);
    ASSERT_NE(found, nullptr) << expected.name;
    EXPECT_EQ(found->dtype, expected.dtype) << expected.name;
    EXPECT_EQ(found->shape, expected.shape) << expected.name;
    EXPECT_EQ(found->hashes, expected.hashes) << expected.name;
  }
  // Each parameter's states lie behind its weight, experts have a hash each.
  EXPECT_LT(ours.find("/model/layers/0/moe/gate")->offset, ours.find("/optimizer/layers/0/moe/gate/v")->offset);
  EXPECT_EQ(ours.find("/optimizer/layers/0/moe/experts/down/m")->num_slabs,
            imported.find("/model/layers/0/moe/experts/down")->num_slabs);
}

TEST(CheckpointWrite, ConvertTakesIt) {
  const TemporaryFolder folder;
  SmallRun run("tiny-f32");
  write_checkpoint(run, folder / "step-7.h5");
  const auto source = open_checkpoint(folder / "step-7.h5");
  const auto original = open_checkpoint(fixture("tiny-f32"));
  EXPECT_THAT(diff_checkpoints(*original, *source).differences, IsEmpty());
  EXPECT_THAT(info_text(*source, false), HasSubstr("datasets of a training run ("));
  EXPECT_THAT(info_text(*source, true), HasSubstr("/optimizer/layers/1/moe/experts/down/master "));
  const VerifyResult verified = verify_checkpoint(*source);
  EXPECT_THAT(verified.defects, IsEmpty());
  std::int64_t num_slabs = 1;  // /trainer; then each weight's and those of its three states
  for (const StoredTensor& tensor : original->tensors()) num_slabs += 4 * tensor.num_slabs();
  EXPECT_EQ(verified.num_slabs, num_slabs);

  export_checkpoint(*source, folder / "out", DTypeChoice::keep, kDefaultShardBytes);
  const HuggingFaceFolder before = HuggingFaceFolder::read(fixture("tiny-f32"));
  const HuggingFaceFolder after = HuggingFaceFolder::read(folder / "out");
  EXPECT_EQ(before.texts, after.texts);
  EXPECT_TRUE(before.tensors == after.tensors);
}

TEST(CheckpointWrite, VerifyFindsAnAlteredOptimizer) {
  const TemporaryFolder folder;
  SmallRun run("tiny-f32");
  write_checkpoint(run, folder / "step-7.h5");
  flip_bit(folder / "step-7.h5", "/optimizer/layers/1/moe/gate/m");
  flip_bit(folder / "step-7.h5", "/trainer");
  const VerifyResult result = verify_checkpoint(*open_checkpoint(folder / "step-7.h5"));
  ASSERT_THAT(result.defects, SizeIs(2));
  EXPECT_THAT(result.defects[0], HasSubstr("/optimizer/layers/1/moe/gate/m slab 0 of 1 was altered: "));
  EXPECT_THAT(result.defects[1], HasSubstr("/trainer slab 0 of 1 was altered: "));
  EXPECT_THAT([&] { read_back(folder / "step-7.h5"); }, ThrowsMessage<Error>(HasSubstr("is altered or damaged")));
}

TEST(CheckpointWrite, TheSameStepAgainStays) {
  const TemporaryFolder folder;
  SmallRun run("tiny-f32");
  EXPECT_TRUE(write_checkpoint(run, folder / "step-7.h5"));
  const std::string before = test::read_bytes(folder / "step-7.h5");
  TrainingState later = run.state("{\"step\": 7, \"seconds\": 3}");
  EXPECT_FALSE(CheckpointWrite(later, test::exec()).write(folder / "step-7.h5", [](std::size_t) {}));
  EXPECT_TRUE(test::read_bytes(folder / "step-7.h5") == before);
  EXPECT_THAT(folder.names(), ElementsAre("step-7.h5"));
}

TEST(CheckpointWrite, OtherWeightsOfTheSameStepAreRefused) {
  const TemporaryFolder folder;
  SmallRun run("tiny-f32");
  write_checkpoint(run, folder / "step-7.h5");
  const std::string before = test::read_bytes(folder / "step-7.h5");
  run.step(3);
  EXPECT_THAT([&] { write_checkpoint(run, folder / "step-7.h5"); },
              ThrowsMessage<Error>(fmt::format("'{}' is there already, with other weights, and a checkpoint is never "
                                               "overwritten: choose another folder for this run, or move the file away",
                                               folder / "step-7.h5")));
  EXPECT_TRUE(test::read_bytes(folder / "step-7.h5") == before);
  EXPECT_THAT(folder.names(), ElementsAre("step-7.h5"));
}

TEST(CheckpointWrite, ADamagedFileIsReplaced) {
  const TemporaryFolder folder;
  SmallRun run("tiny-f32");
  write_checkpoint(run, folder / "step-7.h5");
  const std::string before = test::read_bytes(folder / "step-7.h5");
  flip_bit(folder / "step-7.h5", "/optimizer/norm/v");
  EXPECT_TRUE(write_checkpoint(run, folder / "step-7.h5"));
  EXPECT_TRUE(test::read_bytes(folder / "step-7.h5") == before);
}

TEST(CheckpointWrite, AStateNeedsAParameter) {
  SmallRun run("tiny-f32");
  run.states[0].name = "layers/9/moe/gate/m";
  EXPECT_THAT(
      [&] { CheckpointWrite(run.state(), test::exec()); },
      ThrowsMessage<Error>("the optimizer's 'layers/9/moe/gate/m' belongs to no parameter; expected a name like "
                           "'embed_tokens/master'"));
}

}  // namespace
}  // namespace m2
