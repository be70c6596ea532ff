// SPDX-License-Identifier: Apache-2.0
#include "core/progress.hpp"

#include <gtest/gtest.h>

namespace m2 {
namespace {

TEST(Progress, ShowsAmountRateAndTimeLeft) {
  EXPECT_EQ(progress_text("import", 25'000'000'000, 100'000'000'000, "B", 10, 0),
            "import   25%  25.0 GB of 100.0 GB  2.5 GB/s  0:30 left");
  EXPECT_EQ(progress_text("score", 30, 7230, "tokens", 1, 0),
            "score    0%  30 tokens of 7230 tokens  30 tokens/s  4:00 left");
  EXPECT_EQ(progress_text("import", 1, 10'000, "B", 1, 0), "import    0%  1 B of 10.0 kB  1 B/s  2:46:39 left");
}

TEST(Progress, DrawsABar) {
  EXPECT_EQ(progress_text("load", 0, 8, "B", 0, 8), "load  [>       ]    0%  0 B of 8 B");
  EXPECT_EQ(progress_text("load", 4, 8, "B", 2, 8), "load  [====>   ]   50%  4 B of 8 B  2 B/s  0:02 left");
  EXPECT_EQ(progress_text("load", 8, 8, "B", 4, 8), "load  [========]  100%  8 B of 8 B  2 B/s  in 0:04");
}

TEST(Progress, NothingToDoIsDone) { EXPECT_EQ(progress_text("load", 0, 0, "B", 0, 0), "load  100%  0 B of 0 B"); }

TEST(Progress, ANoteStandsAtTheEnd) {
  EXPECT_EQ(progress_text("generate", 0, 4, "prompts", 3, 0, "7.5 tokens/s"),
            "generate    0%  0 prompts of 4 prompts  7.5 tokens/s");
  EXPECT_TRUE(progress_text("generate", 2, 4, "prompts", 8, 0, "7.5 tokens/s").ends_with("0:08 left  7.5 tokens/s"));
}

TEST(Progress, IsSilentForAShortJobThatNobodyWatches) {
  std::FILE* file = std::tmpfile();
  {
    Progress progress("import", 100, "B", file);
    for (int i = 0; i < 100; ++i) progress.add(1);
  }
  EXPECT_EQ(std::ftell(file), 0);
  std::fclose(file);
}

TEST(Progress, PrintsItsLastLineWhenAsked) {
  std::FILE* file = std::tmpfile();
  {
    Progress progress("load", 100, "B", file);
    progress.add(100);
    progress.print_at_end();
  }
  std::rewind(file);
  char line[200] = {};
  ASSERT_NE(std::fgets(line, sizeof(line), file), nullptr);
  EXPECT_TRUE(std::string(line).starts_with("load  100%  100 B of 100 B  ")) << line;
  EXPECT_EQ(std::fgets(line, sizeof(line), file), nullptr);
  std::fclose(file);
}

TEST(Progress, CountsWithoutAFile) {
  Progress progress("load", 100, "B", nullptr);
  progress.add(60);
  progress.add(30);
  progress.print_at_end();
  EXPECT_EQ(progress.done(), 90);
}

}  // namespace
}  // namespace m2
