// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoint/background_writer.hpp"

#include <gmock/gmock.h>

#include <thread>

#include "core/error.hpp"
#include "io/file_size_limit.hpp"
#include "io/temporary_folder.hpp"
#include "train/checkpoint/load_state.hpp"
#include "train/checkpoint/small_run.hpp"

namespace m2 {
namespace {

using test::SmallRun;
using test::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(BackgroundWriter, SavesLinksAndPrunes) {
  const TemporaryFolder folder;
  SmallRun run("tiny-f32");
  BackgroundWriter writer(CheckpointFolder(folder.path()), 2);
  EXPECT_FALSE(writer.poll());
  EXPECT_FALSE(writer.save(10, run.state(), test::exec(), /*is_best=*/true));
  for (const std::int64_t step : {20, 30, 40}) {
    const auto previous = writer.save(step, run.state(), test::exec());
    ASSERT_TRUE(previous);
    EXPECT_EQ(previous->step, step - 10);
    EXPECT_EQ(previous->error, "");
    EXPECT_GT(previous->write_seconds, 0);
    std::uint64_t bytes = 0;
    for (const auto& tensor : test::model_bytes(run.model)) bytes += tensor.size();
    for (const auto& state : run.optimizer()) bytes += state.size() * sizeof(float);
    EXPECT_EQ(previous->bytes, bytes);
  }
  const auto last = writer.wait();
  EXPECT_EQ(last->path, folder / "step-40.h5");
  EXPECT_FALSE(writer.wait());
  EXPECT_THAT(folder.names(), ElementsAre("best", "latest", "step-10.h5", "step-30.h5", "step-40.h5"));
  EXPECT_EQ(CheckpointFolder(folder.path()).linked_step(CheckpointLink::latest), 40);
  EXPECT_EQ(CheckpointFolder(folder.path()).linked_step(CheckpointLink::best), 10);
}

// The optimizer changes each parameter's states as soon as it may, while another thread reads the weights.
TEST(BackgroundWriter, WritesWhatWasThereWhenItBegan) {
  const TemporaryFolder folder;
  SmallRun run("tiny-bf16");
  test::write_checkpoint(run, folder / "alone.h5");
  const std::size_t num_parameters = run.model.parameters().size();
  BackgroundWriter writer(CheckpointFolder(folder.path()), 100);
  for (int round = 0; round < 5; ++round) {
    SmallRun changing("tiny-bf16");
    const std::string path = CheckpointFolder(folder.path()).file(round);
    std::jthread reader([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) test::model_bytes(changing.model);
    });
    writer.save(round, changing.state(), test::exec());
    for (std::size_t i = 0; i < num_parameters; ++i) {
      writer.wait_for(i);
      changing.step(i);
    }
    const SaveResult result = *writer.wait();
    EXPECT_EQ(result.error, "");
    EXPECT_GE(result.stalled_seconds, 0);
    EXPECT_TRUE(test::read_bytes(path) == test::read_bytes(folder / "alone.h5"));
    EXPECT_FALSE(changing.optimizer() == run.optimizer());
  }
}

TEST(BackgroundWriter, AFullDiskLosesNothingOlder) {
  const TemporaryFolder folder;
  SmallRun run("tiny-f32");
  BackgroundWriter writer(CheckpointFolder(folder.path()), 1);
  writer.save(1, run.state(), test::exec());
  EXPECT_EQ(writer.wait()->error, "");
  {
    const test::FileSizeLimit limit(rlim_t{3} << 20);
    writer.save(2, run.state(), test::exec());
    for (std::size_t i = 0; i < run.model.parameters().size(); ++i) writer.wait_for(i);  // a failure lets go
    const SaveResult result = *writer.wait();
    EXPECT_THAT(result.error, HasSubstr("step-2.h5"));
    EXPECT_THAT(result.error, HasSubstr("File too large"));
    EXPECT_THAT(folder.names(), ElementsAre("latest", "step-1.h5"));
    writer.save(3, run.state(), test::exec());
    EXPECT_THAT(writer.save(4, run.state(), test::exec())->error, HasSubstr("step-3.h5"));
    writer.wait();
  }
  EXPECT_EQ(CheckpointFolder(folder.path()).find_latest()->path, folder / "step-1.h5");
  writer.save(2, run.state(), test::exec());
  EXPECT_EQ(writer.wait()->error, "");
  EXPECT_THAT(folder.names(), ElementsAre("latest", "step-2.h5"));
}

TEST(BackgroundWriter, AStepThatIsThereIsKeptAndLinked) {
  const TemporaryFolder folder;
  SmallRun run("tiny-f32");
  test::write_checkpoint(run, folder / "step-5.h5");  // killed before `latest` named it
  BackgroundWriter writer(CheckpointFolder(folder.path()), 3);
  writer.save(5, run.state(), test::exec());
  const SaveResult result = *writer.wait();
  EXPECT_EQ(result.error, "");
  EXPECT_TRUE(result.was_there);
  EXPECT_THAT(folder.names(), ElementsAre("latest", "step-5.h5"));
  run.step(0);
  writer.save(5, run.state(), test::exec());
  EXPECT_THAT(writer.wait()->error, HasSubstr("step-5.h5' is there already, with other weights"));
}

TEST(BackgroundWriter, TheEndOfTheProgramFinishesTheSave) {
  const TemporaryFolder folder;
  SmallRun run("tiny-f32");
  {
    BackgroundWriter writer(CheckpointFolder(folder.path()), 1);
    writer.save(6, run.state(), test::exec());
  }
  EXPECT_EQ(CheckpointFolder(folder.path()).find_latest()->path, folder / "step-6.h5");
}

}  // namespace
}  // namespace m2
