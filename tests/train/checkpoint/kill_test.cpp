// SPDX-License-Identifier: Apache-2.0
// A process that saves is killed at any instant, and the folder is as good as before.
#include <gmock/gmock.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <random>
#include <thread>

#include "io/temporary_folder.hpp"
#include "train/checkpoint/background_writer.hpp"
#include "train/checkpoint/load_state.hpp"
#include "train/checkpoint/small_run.hpp"

namespace m2 {
namespace {

using test::SmallRun;
using test::TemporaryFolder;

constexpr const char* kFolderVariable = "M2_TEST_CHECKPOINT_FOLDER";
constexpr int kKeep = 3;

// The process that is killed: not a test, but what one runs.
TEST(KilledRun, DISABLED_SavesForEver) {
  const char* const path = std::getenv(kFolderVariable);
  ASSERT_NE(path, nullptr);
  const CheckpointFolder folder(path);
  folder.prepare();
  SmallRun run("tiny-f32");
  std::int64_t step = folder.steps().empty() ? 0 : folder.steps().back();
  BackgroundWriter writer(folder, kKeep);
  for (;;) {
    ++step;
    writer.save(step, run.state(std::to_string(step)), test::exec(), step % 4 == 0);
    for (std::size_t i = 0; i < run.model.parameters().size(); ++i) {
      writer.wait_for(i);
      run.step(i);
    }
  }
}

pid_t start_run(const std::string& folder) {
  ::setenv(kFolderVariable, folder.c_str(), 1);
  std::string program = "/proc/self/exe", filter = "--gtest_filter=KilledRun.DISABLED_SavesForEver";
  std::string disabled = "--gtest_also_run_disabled_tests", brief = "--gtest_brief=1";
  std::array<char*, 5> arguments{program.data(), filter.data(), disabled.data(), brief.data(), nullptr};
  pid_t child = 0;
  if (::posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments.data(), environ) != 0) return 0;
  return child;
}

int count_unfinished(const TemporaryFolder& folder) {
  int count = 0;
  for (const std::string& name : folder.names()) count += name.ends_with(".tmp");
  return count;
}

// Returns when the process writes its first file: how long it takes to start is the machine's business.
void wait_until_it_saves(const TemporaryFolder& folder) {
  constexpr int kMostTurns = 30'000;
  for (int turn = 0; turn < kMostTurns && count_unfinished(folder) == 0; ++turn) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_GT(count_unfinished(folder), 0) << "no save began";
}

TEST(KilledRun, TheFolderStaysConsistent) {
  const TemporaryFolder temporary;
  const CheckpointFolder folder(temporary.path());
  std::mt19937 random(1);
  int num_found = 0, num_left = 0;
  std::int64_t last_step = 0;
  for (int kill = 0; kill < 30; ++kill) {
    folder.prepare();
    const pid_t child = start_run(temporary.path());
    ASSERT_GT(child, 0);
    wait_until_it_saves(temporary);
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 200));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the run ended by itself";
    num_left += count_unfinished(temporary);

    const auto found = folder.find_latest();
    if (!found) continue;
    ++num_found;
    EXPECT_EQ(found->warning, "");
    const std::int64_t step = std::stoll(read_trainer_state(*open_checkpoint(found->path)).json);
    EXPECT_EQ(found->path, folder.file(step));
    EXPECT_GE(step, last_step);
    last_step = step;
    for (const std::int64_t published : folder.steps()) open_checkpoint(folder.file(published));
  }
  EXPECT_GT(num_found, 10);
  EXPECT_GT(num_left, 5);  // it was killed while it wrote
  folder.prepare();
  folder.prune(kKeep);
  EXPECT_LE(folder.steps().size(), std::size_t(kKeep) + 1);  // and `best`
  for (const std::string& name : temporary.names()) EXPECT_FALSE(name.ends_with(".tmp")) << name;
}

}  // namespace
}  // namespace m2
