// SPDX-License-Identifier: Apache-2.0
#include "io/strict_json.hpp"

#include <gmock/gmock.h>

#include "core/error.hpp"

namespace m2 {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::ThrowsMessage;

TEST(StrictJson, SaysWhereATextIsWrong) {
  EXPECT_THAT([] { parse_strict_json("{\"a\" 1}", "f"); },
              ThrowsMessage<Error>(StartsWith("f: not valid JSON: at byte 6: syntax error")));
  EXPECT_THAT([] { parse_strict_json("{\n  \"a\": 1,\n  \"b\" 2\n}", "f"); },
              ThrowsMessage<Error>(StartsWith("f: not valid JSON: at line 3, column 7: syntax error")));
  EXPECT_THAT([] { parse_strict_json("\"\xff\"", "f"); }, ThrowsMessage<Error>(HasSubstr("ill-formed UTF-8")));
}

TEST(StrictJson, RefusesAKeyGivenTwiceInOneObject) {
  EXPECT_EQ(parse_strict_json(R"({"a": {"a": 1}, "b": {"a": 2}})", "f")["b"]["a"], 2);
  EXPECT_THAT([] { parse_strict_json(R"({"a": {"b": 1, "c": {}, "b": 2}})", "f"); },
              ThrowsMessage<Error>("f: key 'b' is given twice"));
}

TEST(StrictJson, HasLimits) {
  const auto parse = [](const char* text) { return parse_strict_json(text, "f", {.max_depth = 2, .max_keys = 2}); };
  EXPECT_EQ(parse(R"([{"a": 1}, {"b": 2}])").size(), 2u);
  EXPECT_THAT([&] { parse("[[[1]]]"); }, ThrowsMessage<Error>("f: JSON nested deeper than 2 levels"));
  EXPECT_THAT([&] { parse(R"([{"a": 1}, {"a": 2}, {"a": 3}])"); }, ThrowsMessage<Error>("f: more than 2 keys"));
}

TEST(StrictJson, KeepsTheOrderOfKeysIfAsked) {
  EXPECT_EQ(parse_strict_json<nlohmann::ordered_json>(R"({"b": 1, "a": 2})", "f").dump(), R"({"b":1,"a":2})");
}

TEST(StrictJson, WholeNumbersAreNotConverted) {
  const auto whole = [](const char* text) { return whole_number(parse_strict_json(text, "f"), -2, 4294967296); };
  EXPECT_EQ(whole("-2"), -2);
  EXPECT_EQ(whole("4294967296"), 4294967296);
  for (const char* text : {"-3", "4294967297", "18446744073709551615", "18446744073709551616", "1.0", "0.7", "1e2",
                           "true", "null", "\"1\"", "[1]"}) {
    EXPECT_EQ(whole(text), std::nullopt) << text;
  }
}

TEST(StrictJson, ExcerptsAreShortAndAscii) {
  EXPECT_EQ(json_excerpt(parse_strict_json("{\"a\": \"\u00fc\"}", "f")), R"({"a":"\u00fc"})");
  EXPECT_EQ(json_excerpt(nlohmann::json(std::string(100, 'x'))), "\"" + std::string(59, 'x') + "...");
}

}  // namespace
}  // namespace m2
