// SPDX-License-Identifier: Apache-2.0
#include "kernels/weights/quantize.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/error.hpp"

namespace m2 {
namespace {

std::int64_t num_blocks(int size) { return (std::int64_t(size) + kFp8Block - 1) / kFp8Block; }

void require_sizes(const char* operation, std::size_t num_values, std::size_t num_converted, std::size_t num_scales,
                   int num_rows, int num_columns) {
  M2_REQUIRE(num_rows >= 0 && num_columns >= 0, "{}: negative size {} x {}", operation, num_rows, num_columns);
  const std::size_t expected = std::size_t(num_rows) * num_columns;
  M2_REQUIRE(num_values == expected && num_converted == expected,
             "{}: {} values in and {} out, {} x {} = {} are expected", operation, num_values, num_converted, num_rows,
             num_columns, expected);
  const std::size_t expected_scales = num_blocks(num_rows) * num_blocks(num_columns);
  M2_REQUIRE(num_scales == expected_scales, "{}: {} scales for {} x {} values, {} are expected", operation, num_scales,
             num_rows, num_columns, expected_scales);
}

/// One block of a row-major matrix: its first element, size and distance between rows.
struct BlockShape {
  std::int64_t first;
  int num_rows, num_columns, stride;
};

BlockShape block_shape(std::int64_t block, int num_rows, int num_columns) {
  const std::int64_t row = block / num_blocks(num_columns) * kFp8Block;
  const std::int64_t column = block % num_blocks(num_columns) * kFp8Block;
  return {row * num_columns + column, int(std::min<std::int64_t>(kFp8Block, num_rows - row)),
          int(std::min<std::int64_t>(kFp8Block, num_columns - column)), num_columns};
}

/// The scale of a block; NaN when a value is not finite.
float block_scale(const float* w, const BlockShape& shape) {
  float largest = 0;
  bool is_finite = true;
  for (int i = 0; i < shape.num_rows; ++i) {
    const float* row = w + shape.first + std::int64_t(i) * shape.stride;
    for (int j = 0; j < shape.num_columns; ++j) {
      largest = std::max(largest, std::abs(row[j]));
      is_finite = is_finite && std::abs(row[j]) <= std::numeric_limits<float>::max();
    }
  }
  if (!is_finite) return std::numeric_limits<float>::quiet_NaN();
  return fp8_scale_inv(largest);
}

using HostPolicy = Kokkos::RangePolicy<HostExecSpace, Kokkos::IndexType<std::int64_t>>;

}  // namespace

void expand_fp8_blocks(const HostExecSpace& exec, std::span<const Fp8E4M3> q_NK, std::span<const float> scale_inv,
                       int num_rows, int num_columns, std::span<float> out_NK) {
  require_sizes("expand_fp8_blocks", q_NK.size(), out_NK.size(), scale_inv.size(), num_rows, num_columns);
  const Fp8E4M3* const q = q_NK.data();
  const float* const scales = scale_inv.data();
  float* const out = out_NK.data();
  Kokkos::parallel_for("m2::expand_fp8_blocks", HostPolicy(exec, 0, scale_inv.size()), [=](std::int64_t block) {
    const BlockShape shape = block_shape(block, num_rows, num_columns);
    for (int i = 0; i < shape.num_rows; ++i) {
      const std::int64_t begin = shape.first + std::int64_t(i) * shape.stride;
      for (std::int64_t j = begin; j < begin + shape.num_columns; ++j) out[j] = float(q[j]) * scales[block];
    }
  });
  exec.fence("m2::expand_fp8_blocks");
}

void quantize_fp8_blocks(const HostExecSpace& exec, std::span<const float> w_NK, int num_rows, int num_columns,
                         std::span<Fp8E4M3> q_NK, std::span<float> scale_inv) {
  require_sizes("quantize_fp8_blocks", w_NK.size(), q_NK.size(), scale_inv.size(), num_rows, num_columns);
  const float* const w = w_NK.data();
  Fp8E4M3* const q = q_NK.data();
  float* const scales = scale_inv.data();
  Kokkos::parallel_for("m2::quantize_fp8_blocks", HostPolicy(exec, 0, scale_inv.size()), [=](std::int64_t block) {
    const BlockShape shape = block_shape(block, num_rows, num_columns);
    const float scale = block_scale(w, shape);
    scales[block] = scale;
    for (int i = 0; i < shape.num_rows; ++i) {
      const std::int64_t begin = shape.first + std::int64_t(i) * shape.stride;
      for (std::int64_t j = begin; j < begin + shape.num_columns; ++j) q[j] = Fp8E4M3(w[j] / scale);
    }
  });
  exec.fence("m2::quantize_fp8_blocks");
  const auto bad = std::ranges::find_if(scale_inv, [](float scale) { return std::isnan(scale); });
  const std::int64_t block = bad - scale_inv.begin();
  M2_REQUIRE(bad == scale_inv.end(),
             "quantize_fp8_blocks: block ({}, {}) of 128 x 128 holds NaN or infinity, which have no FP8 block",
             block / num_blocks(num_columns), block % num_blocks(num_columns));
}

template <class From, class To>
void convert_values(const HostExecSpace& exec, std::span<const From> in, std::span<To> out) {
  M2_REQUIRE(in.size() == out.size(), "convert_values: {} values in, {} out", in.size(), out.size());
  constexpr std::int64_t kChunk = 16384;
  const From* const from = in.data();
  To* const to = out.data();
  const std::int64_t size = in.size();
  Kokkos::parallel_for("m2::convert_values", HostPolicy(exec, 0, (size + kChunk - 1) / kChunk),
                       [=](std::int64_t chunk) {
                         const std::int64_t end = std::min(size, (chunk + 1) * kChunk);
                         for (std::int64_t i = chunk * kChunk; i < end; ++i) to[i] = To(from[i]);
                       });
  exec.fence("m2::convert_values");
}

template void convert_values(const HostExecSpace&, std::span<const float>, std::span<Bf16>);
template void convert_values(const HostExecSpace&, std::span<const Bf16>, std::span<float>);

}  // namespace m2
