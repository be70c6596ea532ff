// SPDX-License-Identifier: Apache-2.0
#include "text/python_json.hpp"

#include <gmock/gmock.h>

#include "core/error.hpp"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

TEST(PythonJson, SeparatorsOrderAndText) {
  EXPECT_EQ(python_json(Json::parse(R"({"b":[1,-2,true,null],"a":{"é中":"x\"\\\n\u0007\u007f/"},"c":{},"d":[]})")),
            "{\"b\": [1, -2, true, null], \"a\": {\"é中\": \"x\\\"\\\\\\n\\u0007\x7f/\"}, \"c\": {}, \"d\": []}");
  EXPECT_EQ(python_json(18446744073709551615u), "18446744073709551615");
}

// Expected texts are those of Python's repr.
TEST(PythonJson, FloatingPointNumbers) {
  const auto print = [](double number) { return python_json(number); };
  EXPECT_EQ(print(1.0), "1.0");
  EXPECT_EQ(print(-0.0), "-0.0");
  EXPECT_EQ(print(0.1), "0.1");
  EXPECT_EQ(print(-123.456), "-123.456");
  EXPECT_EQ(print(1e15), "1000000000000000.0");
  EXPECT_EQ(print(123456789012345680.0), "1.2345678901234568e+17");
  EXPECT_EQ(print(1e16), "1e+16");
  EXPECT_EQ(print(0.0001), "0.0001");
  EXPECT_EQ(print(0.00012), "0.00012");
  EXPECT_EQ(print(0.00001), "1e-05");
  EXPECT_EQ(print(5e-324), "5e-324");
}

TEST(PythonJson, NestingIsBounded) {
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  try {
    python_json(Json::parse(deep));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("nested deeper than 500 levels"));
  }
}

}  // namespace
}  // namespace m2
