// SPDX-License-Identifier: Apache-2.0
#include "kernels/weights/store_weight.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "core/error.hpp"
#include "kernels/operation.hpp"
#include "kernels/weights/quantize.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

struct Shape {
  int num_matrices, num_rows, num_columns, num_row_parts;

  std::int64_t size() const { return std::int64_t(num_matrices) * num_rows * num_columns; }
};

// Ragged blocks, parts whose blocks end in the middle of 128 rows, whole panels.
constexpr Shape kOdd{3, 130, 131, 2}, kPanels{2, 384, 150, 2};

View3D<float> on_device(const std::vector<float>& values, const Shape& shape) {
  const View3D<float> out("test::values", shape.num_matrices, shape.num_rows, shape.num_columns);
  Kokkos::deep_copy(View1D<float>(out.data(), out.size()), to_device<float>(values));
  return out;
}

Weight make(DType dtype, const Shape& shape, WeightLayout layout = WeightLayout::rows) {
  return Weight::allocate(exec(), dtype, shape.num_matrices, shape.num_rows, shape.num_columns, "test::weight",
                          shape.num_row_parts, layout);
}

std::vector<float> loaded(const Weight& weight, const Shape& shape) {
  const View3D<float> out("test::loaded", shape.num_matrices, shape.num_rows, shape.num_columns);
  load_weight(exec(), weight, out);
  return to_host(out);
}

/// Bytes of the values and of the scales, as they lie.
std::vector<std::byte> bytes_of_weight(const Weight& weight) {
  exec().fence("test::weight");
  auto bytes = to_host_as_is(View1D<std::byte>(weight.data(), std::size_t(weight.bytes())));
  const auto scales = to_host_as_is(weight.scale_inv());
  const auto more = std::as_bytes(std::span(scales));
  bytes.insert(bytes.end(), more.begin(), more.end());
  return bytes;
}

/// What quantize_fp8_blocks and expand_fp8_blocks make of the values, part by part.
std::vector<float> through_fp8(const std::vector<float>& values, const Shape& shape) {
  const HostExecSpace host;
  const int rows = shape.num_rows / shape.num_row_parts;
  const std::size_t part_size = std::size_t(rows) * std::size_t(shape.num_columns);
  std::vector<Fp8E4M3> q(part_size);
  std::vector<float> scales(
      std::size_t(Weight::num_scale_rows(rows, 1) * Weight::num_scale_columns(shape.num_columns)));
  std::vector<float> out(values.size());
  for (std::size_t begin = 0; begin < values.size(); begin += part_size) {
    quantize_fp8_blocks(host, std::span(values).subspan(begin, part_size), rows, shape.num_columns, q, scales);
    expand_fp8_blocks(host, q, scales, rows, shape.num_columns, std::span(out).subspan(begin, part_size));
  }
  return out;
}

std::vector<float> expected_of(DType dtype, const std::vector<float>& values, const Shape& shape) {
  if (dtype == DType::float8_e4m3fn) return through_fp8(values, shape);
  return dtype == DType::bfloat16 ? rounded<Bf16>(values) : values;
}

class StoreWeight : public ::testing::TestWithParam<DType> {};

TEST_P(StoreWeight, RoundsAndLoadsWhatItStored) {
  for (const Shape& shape : {kOdd, kPanels, Shape{0, 4, 4, 1}, Shape{1, 1, 1, 1}}) {
    const auto values = normal(shape.size(), 3);
    const Weight weight = make(GetParam(), shape);
    store_weight(exec(), on_device(values, shape), weight);
    EXPECT_TRUE(same_bits(loaded(weight, shape), expected_of(GetParam(), values, shape)))
        << fmt::format("{} x {} x {}", shape.num_matrices, shape.num_rows, shape.num_columns);
  }
}

TEST_P(StoreWeight, PanelsHoldWhatRowsHold) {
  if (!panels_fit(GetParam(), kPanels.num_rows, kPanels.num_columns, kPanels.num_row_parts)) {
    GTEST_SKIP() << "no panels of " << name(GetParam()) << " here";
  }
  const auto values = normal(kPanels.size(), 3);
  Weight rows = make(GetParam(), kPanels);
  const Weight panels = make(GetParam(), kPanels, WeightLayout::panels);
  store_weight(exec(), on_device(values, kPanels), rows);
  store_weight(exec(), on_device(values, kPanels), panels);
  EXPECT_TRUE(same_bits(loaded(panels, kPanels), expected_of(GetParam(), values, kPanels)));
  EXPECT_NE(bytes_of_weight(rows), bytes_of_weight(panels));
  rows.set_layout(exec(), WeightLayout::panels);
  EXPECT_EQ(bytes_of_weight(rows), bytes_of_weight(panels));
}

TEST_P(StoreWeight, OneAndTwoThreadsGiveTheSameBits) {
  const auto values = normal(kOdd.size(), 3);
  const Weight one = make(GetParam(), kOdd), two = make(GetParam(), kOdd);
  store_weight(with_threads(1), on_device(values, kOdd), one);
  store_weight(with_threads(2), on_device(values, kOdd), two);
  EXPECT_EQ(bytes_of_weight(one), bytes_of_weight(two));
}

INSTANTIATE_TEST_SUITE_P(All, StoreWeight, ::testing::Values(DType::float32, DType::bfloat16, DType::float8_e4m3fn),
                         [](const auto& test) { return std::string(name(test.param)); });

TEST(StoreWeightErrors, NamesShapesAndBlocksWithoutANumber) {
  const Weight weight = make(DType::float8_e4m3fn, kOdd);
  auto values = normal(kOdd.size(), 3);
  values[5] = std::numeric_limits<float>::infinity();
  values[std::size_t(kOdd.size() - 1)] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT([&] { store_weight(exec(), on_device(values, kOdd), weight); },
              ThrowsMessage<Error>(HasSubstr("2 of 12 blocks of 128 x 128 hold NaN or infinity")));
  EXPECT_THAT([&] { store_weight(exec(), View3D<float>("test::few", 3, 130, 1), weight); },
              ThrowsMessage<Error>(HasSubstr("columns of values_ENK (1) and columns of the weight (131) must agree")));
  EXPECT_THAT([&] { load_weight(exec(), weight, View3D<float>("test::few", 1, 130, 131)); },
              ThrowsMessage<Error>(HasSubstr("load_weight: matrices of values_ENK (1)")));
}

}  // namespace
}  // namespace m2::test
