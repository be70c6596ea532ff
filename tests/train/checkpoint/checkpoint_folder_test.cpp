// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoint/checkpoint_folder.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>

#include "core/error.hpp"
#include "io/flip_bit.hpp"
#include "io/hdf5_example.hpp"
#include "io/temporary_folder.hpp"

namespace m2 {
namespace {

using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using ::testing::ThrowsMessage;

class CheckpointFolderTest : public ::testing::Test {
 protected:
  // Any file of ours has hashes.
  void publish(std::initializer_list<std::int64_t> steps) {
    for (const std::int64_t step : steps) test::Hdf5Example().write(folder_.file(step));
  }
  void damage(std::int64_t step) { test::flip_bit(folder_.file(step), "/model/scalar"); }

  TemporaryFolder temporary_;
  CheckpointFolder folder_{temporary_.path()};
};

TEST_F(CheckpointFolderTest, LinksNameOneFileAfterTheOther) {
  publish({9, 10});
  EXPECT_EQ(folder_.linked_step(CheckpointLink::latest), std::nullopt);
  for (const std::int64_t step : {9, 10}) {
    folder_.link(CheckpointLink::latest, step);
    EXPECT_EQ(folder_.linked_step(CheckpointLink::latest), step);
  }
  folder_.link(CheckpointLink::best, 9);
  EXPECT_EQ(std::filesystem::read_symlink(temporary_ / "best"), "step-9.h5");  // the folder can be moved
  EXPECT_TRUE(std::filesystem::equivalent(temporary_ / "latest", temporary_ / "step-10.h5"));
  EXPECT_THAT(temporary_.names(), ElementsAre("best", "latest", "step-10.h5", "step-9.h5"));
  EXPECT_THAT([&] { folder_.link(CheckpointLink::best, 11); }, ThrowsMessage<Error>(HasSubstr("which is not there")));
}

TEST_F(CheckpointFolderTest, ALinkToElsewhereIsRefused) {
  publish({1});
  std::filesystem::create_symlink("/elsewhere/model.h5", temporary_ / "latest");
  EXPECT_THAT([&] { folder_.find_latest(); },
              ThrowsMessage<Error>(HasSubstr("names '/elsewhere/model.h5', expected a step-<N>.h5")));
}

TEST_F(CheckpointFolderTest, PruneKeepsTheLastAndWhatLinksName) {
  publish({5, 10, 15, 20, 100});
  folder_.link(CheckpointLink::best, 10);
  folder_.link(CheckpointLink::latest, 100);
  EXPECT_THAT(folder_.prune(2), ElementsAre(folder_.file(5), folder_.file(15)));
  EXPECT_THAT(folder_.steps(), ElementsAre(10, 20, 100));
  folder_.link(CheckpointLink::latest, 10);
  EXPECT_THAT(folder_.prune(1), ElementsAre(folder_.file(20)));
  EXPECT_THAT(folder_.prune(1), IsEmpty());
  EXPECT_THAT(folder_.steps(), ElementsAre(10, 100));
  EXPECT_THAT([&] { folder_.prune(0); }, ThrowsMessage<Error>("0 checkpoints cannot be kept; expected 1 or more"));
}

TEST_F(CheckpointFolderTest, PrepareRemovesWhatAKilledRunLeft) {
  publish({5});
  for (const char* name : {"step-6.h5.123.tmp", "latest.45.tmp", "notes.txt", "step-6.h5.bak", "other.1.tmp"}) {
    test::write_bytes(temporary_ / name, "x");
  }
  EXPECT_THAT(folder_.prepare(), ::testing::UnorderedElementsAre("step-6.h5.123.tmp", "latest.45.tmp"));
  EXPECT_THAT(temporary_.names(), ElementsAre("notes.txt", "other.1.tmp", "step-5.h5", "step-6.h5.bak"));
  EXPECT_THAT(folder_.steps(), ElementsAre(5));
  CheckpointFolder(temporary_ / "new/run").prepare();
  EXPECT_TRUE(std::filesystem::is_directory(temporary_ / "new/run"));
}

TEST_F(CheckpointFolderTest, NothingIsFoundWhereNothingIs) {
  EXPECT_FALSE(folder_.find_latest());
  EXPECT_FALSE(CheckpointFolder(temporary_ / "nowhere").find_latest());
}

TEST_F(CheckpointFolderTest, TheLatestIsWhatTheLinkNames) {
  publish({5, 10, 15});
  EXPECT_EQ(folder_.find_latest()->path, folder_.file(15));  // killed before the first link
  folder_.link(CheckpointLink::latest, 10);
  const auto found = folder_.find_latest();
  EXPECT_EQ(found->path, folder_.file(10));
  EXPECT_EQ(found->warning, "");
}

TEST_F(CheckpointFolderTest, ADamagedLatestFallsBack) {
  publish({5, 10, 15});
  folder_.link(CheckpointLink::latest, 15);
  damage(15);
  const auto found = folder_.find_latest();
  EXPECT_EQ(found->path, folder_.file(10));
  EXPECT_EQ(found->warning, fmt::format("'{}' is altered or damaged: slab 0 of 1 of dataset '/model/scalar' differs "
                                        "from what was written: copy it again\n  '{}' is used instead",
                                        folder_.file(15), folder_.file(10)));
  std::filesystem::resize_file(folder_.file(10), 1000);
  EXPECT_EQ(folder_.find_latest()->path, folder_.file(5));
  EXPECT_THAT(folder_.find_latest()->warning, AllOf(HasSubstr(folder_.file(15)), HasSubstr("is truncated")));
  std::filesystem::remove(folder_.file(15));
  EXPECT_EQ(folder_.find_latest()->path, folder_.file(5));
  EXPECT_THAT(folder_.find_latest()->warning, StartsWith(fmt::format("cannot open '{}'", folder_.file(15))));
  damage(5);
  EXPECT_THAT([&] { folder_.find_latest(); },
              ThrowsMessage<Error>(AllOf(StartsWith(fmt::format("no checkpoint of '{}' can be used", folder_.path())),
                                         HasSubstr(folder_.file(15)), HasSubstr(folder_.file(10)),
                                         HasSubstr(folder_.file(5)))));
}

}  // namespace
}  // namespace m2
