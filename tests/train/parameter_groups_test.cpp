// SPDX-License-Identifier: Apache-2.0
#include "train/parameter_groups.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/error.hpp"

namespace m2::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

const std::vector<ParameterSchema>& parameters() {
  static const std::vector<ParameterSchema> kAll{
      {"embed_tokens", ParameterKind::embedding, {10, 4}},
      {"layers/0/attention/q_proj", ParameterKind::attention, {4, 4}},
      {"layers/0/moe/gate", ParameterKind::router, {2, 4}},
      {"layers/1/input_norm", ParameterKind::norm, {4}},
      {"layers/1/moe/experts/down", ParameterKind::experts, {2, 4, 8}},
  };
  return kAll;
}

ParameterGroups groups(std::vector<std::string> texts, const std::vector<std::string>& freeze = {}) {
  return ParameterGroups({.weight_decay = 0.1, .groups = std::move(texts)}, freeze, parameters());
}

void expect_factors(const ParameterFactors& factors, double learning_rate, double weight_decay) {
  EXPECT_TRUE(factors.is_trained);
  EXPECT_DOUBLE_EQ(factors.learning_rate_factor, learning_rate);
  EXPECT_DOUBLE_EQ(factors.weight_decay, weight_decay);
}

TEST(ParameterGroups, WithoutGroupsMatricesDecayAndVectorsDoNot) {
  const auto all = groups({});
  for (const int i : {0, 1, 2, 4}) expect_factors(all.factors()[std::size_t(i)], 1, 0.1);
  expect_factors(all.factors()[3], 1, 0);
}

TEST(ParameterGroups, TheFirstThatMatchesCounts) {
  const auto all = groups({"layers/0/*  lr=0.5", "*/gate lr=7 decay=7", "layers/1/* decay=2", "*norm lr=3"});
  expect_factors(all.factors()[0], 1, 0.1);
  expect_factors(all.factors()[1], 0.5, 0.1);
  expect_factors(all.factors()[2], 0.5, 0.1);
  expect_factors(all.factors()[3], 1, 0.2);  // a vector decays when a group says so
  expect_factors(all.factors()[4], 1, 0.2);
  expect_factors(groups({"*norm lr=3"}).factors()[3], 3, 0);
}

TEST(ParameterGroups, FrozenParametersAreNotTrained) {
  const auto all = groups({"layers/* lr=2"}, {"embed_tokens", "*/moe/*"});
  const std::vector<bool> trained{false, true, false, true, false};
  for (std::size_t i = 0; i < trained.size(); ++i) EXPECT_EQ(all.factors()[i].is_trained, trained[i]) << i;
  EXPECT_THAT([] { groups({}, {"*"}); },
              ThrowsMessage<UsageError>(HasSubstr("train.freeze: it leaves none of 5 parameters to train")));
}

TEST(ParameterGroups, RefusesTextsThatItDoesNotUnderstand) {
  const auto refuses = [](const char* text, const char* message) {
    EXPECT_THAT([&] { groups({text}); },
                ThrowsMessage<UsageError>(AllOf(HasSubstr("optimizer.groups"), HasSubstr(text), HasSubstr(message))));
  };
  refuses("embed_tokens", "has no factor");
  refuses("embed_tokens rate=1", "'rate=1'");
  refuses("embed_tokens lr", "'lr'");
  refuses("embed_tokens lr=fast", "'lr=fast'");
  refuses("embed_tokens lr=-1", "'lr=-1'");
  refuses("embed_tokens lr=1 lr=2", "'lr=2'");
}

TEST(ParameterGroups, APatternThatMatchesNothingIsRefusedWithTheNearestName) {
  EXPECT_THAT([] { groups({"layers/*/atention/q_proj lr=1"}); },
              ThrowsMessage<UsageError>(AllOf(HasSubstr("optimizer.groups: no parameter matches"),
                                              HasSubstr("did you mean 'layers/0/attention/q_proj'?"))));
  EXPECT_THAT([] { groups({}, {"embed_token"}); },
              ThrowsMessage<UsageError>(AllOf(HasSubstr("train.freeze: no parameter matches 'embed_token'"),
                                              HasSubstr("did you mean 'embed_tokens'?"))));
}

TEST(ParameterGroups, TheTableCountsEachParameterOnce) {
  const std::string text = groups({"layers/0/* lr=0.5", "*/gate decay=0"}, {"embed_tokens"}).text();
  EXPECT_EQ(text,
            "group            rate factor     weight decay  parameters          values\n"
            "layers/0/*               0.5  0.1 (vectors 0)           2              24\n"
            "*/gate                     1                0           0               0\n"
            "other matrices             1              0.1           1              64\n"
            "other vectors              1                0           1               4\n"
            "frozen                     -                -           1              40\n");
  EXPECT_THAT(groups({}).text(), Not(HasSubstr("frozen")));
}

}  // namespace
}  // namespace m2::test
