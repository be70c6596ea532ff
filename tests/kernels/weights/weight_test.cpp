// SPDX-License-Identifier: Apache-2.0
#include "kernels/weights/weight.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Weight, HoldsOneDTypeAndItsScales) {
  const Weight w = Weight::allocate(exec(), DType::float8_e4m3fn, 3, 129, 256, "test::weight");
  EXPECT_EQ(w.dtype(), DType::float8_e4m3fn);
  EXPECT_EQ(w.bytes(), 3 * 129 * 256);
  EXPECT_EQ(w.values<Fp8E4M3>().extent(1), 129);
  EXPECT_EQ(static_cast<void*>(w.data()), w.values<Fp8E4M3>().data());
  EXPECT_EQ(w.scale_inv().extent(0), 3);
  EXPECT_EQ(w.scale_inv().extent(1), 2);
  EXPECT_EQ(w.scale_inv().extent(2), 2);
  EXPECT_THAT([&] { w.values<float>(); },
              ThrowsMessage<Error>(HasSubstr("float32 was asked for, float8_e4m3fn is held")));
}

TEST(Weight, HasScalesForFp8Only) {
  const Weight w = Weight::allocate(exec(), DType::bfloat16, 1, 5, 7, "test::weight");
  EXPECT_EQ(w.bytes(), 70);
  EXPECT_EQ(w.scale_inv().size(), 0);
  EXPECT_EQ(Weight().num_matrices(), 0);
}

TEST(Weight, PartsHaveTheirOwnBlocks) {
  const Weight w = Weight::allocate(exec(), DType::float8_e4m3fn, 1, 260, 1, "test::weight", 2);
  EXPECT_EQ(w.num_row_parts(), 2);
  EXPECT_EQ(w.scale_inv().extent(1), 4);
  EXPECT_EQ(fp8_scale_row(127, 130), 0);
  EXPECT_EQ(fp8_scale_row(129, 130), 1);
  EXPECT_EQ(fp8_scale_row(130, 130), 2);
  EXPECT_EQ(fp8_scale_row(259, 130), 3);
}

TEST(Weight, RefusesWhatItCannotHold) {
  const auto allocate = [](DType dtype, int rows, int parts) {
    return [=] { Weight::allocate(exec(), dtype, 1, rows, 4, "test::gate", parts); };
  };
  EXPECT_THAT(allocate(DType::int8, 4, 1),
              ThrowsMessage<Error>(HasSubstr("'test::gate': dtype int8 is not supported")));
  EXPECT_THAT(allocate(DType::float32, -1, 1), ThrowsMessage<Error>(HasSubstr("negative size 1 x -1 x 4")));
  EXPECT_THAT(allocate(DType::float32, 5, 2), ThrowsMessage<Error>(HasSubstr("5 rows are not 2 equal parts")));
}

}  // namespace
}  // namespace m2::test
