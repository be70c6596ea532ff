// SPDX-License-Identifier: Apache-2.0
#include "core/nearest.hpp"

#include <gmock/gmock.h>

#include <vector>

namespace m2 {
namespace {

const std::vector<std::string> kWords{"sampling.temperature", "sampling.top_k", "sampling.top_p", "batch.max_tokens"};

TEST(Nearest, FindsTheWordWithTheFewestEdits) {
  EXPECT_EQ(nearest("sampling.temprature", kWords), "sampling.temperature");
  EXPECT_EQ(nearest("batch.max_token", kWords), "batch.max_tokens");
  EXPECT_EQ(nearest("batch.mxa_tokens", kWords), "batch.max_tokens");
  EXPECT_EQ(nearest("sampling.top_p", kWords), "sampling.top_p");
  EXPECT_EQ(nearest("sampling.top_x", kWords), "sampling.top_k");  // the first of equals
}

TEST(Nearest, ASwapOfNeighboursIsOneEdit) {
  EXPECT_EQ(nearest("bac", std::vector<std::string>{"abc"}), "abc");  // a third of three letters
  EXPECT_EQ(nearest("cab", std::vector<std::string>{"abc"}), "");
}

TEST(Nearest, GivesNoHintThatWouldOnlyConfuse) {
  EXPECT_EQ(nearest("colour", kWords), "");
  EXPECT_EQ(nearest("", kWords), "");
  EXPECT_EQ(nearest("x", std::vector<std::string>{}), "");
  EXPECT_EQ(nearest(std::string(10000000, 'x'), kWords), "");
}

TEST(Nearest, IsSaidAsAQuestion) {
  EXPECT_EQ(did_you_mean("batch.max_token", kWords), "; did you mean 'batch.max_tokens'?");
  EXPECT_EQ(did_you_mean("colour", kWords), "");
}

}  // namespace
}  // namespace m2
