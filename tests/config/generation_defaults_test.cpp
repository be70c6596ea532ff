// SPDX-License-Identifier: Apache-2.0
#include "config/generation_defaults.hpp"

#include <gmock/gmock.h>

#include "core/error.hpp"

namespace m2 {
namespace {

TEST(GenerationDefaults, ReadsTheReleasedFile) {
  const auto defaults = GenerationDefaults::from_json(
      R"({"bos_token_id": 200019, "do_sample": true, "eos_token_id": 200020, "temperature": 1.0, "top_p": 0.95,
          "top_k": 40, "transformers_version": "4.46.1"})",
      "generation_config.json");
  GenerationDefaults expected;
  expected.do_sample = true;
  expected.temperature = 1.0;
  expected.top_p = 0.95;
  expected.top_k = 40;
  expected.bos_token_id = 200019;
  expected.eos_token_id = {200020};
  EXPECT_EQ(defaults, expected);
}

TEST(GenerationDefaults, SaysNothingWhereTheFileSaysNothing) {
  EXPECT_EQ(GenerationDefaults::from_json("{}", "g"), GenerationDefaults());
  EXPECT_EQ(GenerationDefaults::from_json(R"({"top_k": null, "eos_token_id": null})", "g"), GenerationDefaults());
}

TEST(GenerationDefaults, ReadsSeveralEndTokens) {
  const auto defaults = GenerationDefaults::from_json(R"({"eos_token_id": [200020, 200004]})", "g");
  EXPECT_THAT(defaults.eos_token_id, ::testing::ElementsAre(200020, 200004));
}

TEST(GenerationDefaults, RefusesWrongValues) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"temperature": -1})", "g: key 'temperature': found -1, expected a number from 0 to 100"},
      {R"({"top_p": 1.5})", "g: key 'top_p': found 1.5, expected a number from 0 to 1"},
      {R"({"top_k": 2.5})", "g: key 'top_k': found 2.5, expected a whole number from 0 to 2147483647"},
      {R"({"do_sample": "yes"})", "g: key 'do_sample': found \"yes\", expected true or false"},
      {R"({"eos_token_id": [[1]]})",
       "g: key 'eos_token_id': found [[1]], expected a whole number from 0 to 2147483647, or a list of them"},
      {"3", "g: found 3, expected a JSON object"},
  };
  for (const auto& [json, message] : cases) {
    EXPECT_THAT([&] { GenerationDefaults::from_json(json, "g"); }, ::testing::ThrowsMessage<Error>(message));
  }
}

}  // namespace
}  // namespace m2
