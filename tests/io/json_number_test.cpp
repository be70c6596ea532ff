// SPDX-License-Identifier: Apache-2.0
#include "io/json_number.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace m2::test {
namespace {

TEST(JsonNumber, HasTheFewestDigitsOfAFloat) {
  EXPECT_EQ(json_number(-0.1f).dump(), "-0.1");
  EXPECT_EQ(json_number(-1.2345678f).dump(), "-1.2345678");
  EXPECT_EQ(json_number(0.0f).dump(), "0.0");
  EXPECT_EQ(json_number(-INFINITY).dump(), "null");
  for (const float value : {-3.4028235e38f, -1e-45f, -7.0000005f}) {
    EXPECT_EQ(float(json_number(value).get<double>()), value);
  }
}

}  // namespace
}  // namespace m2::test
