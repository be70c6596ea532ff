// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/float_bands.hpp"

#include <algorithm>
#include <cstring>

#include "core/error.hpp"
#include "kernels/weights/quantize.hpp"

namespace m2 {
namespace {

constexpr std::int64_t kBandValues = std::int64_t{1} << 20;

std::vector<float> read_scales(const TensorSource& source, const StoredTensor& weight, std::int64_t slab,
                               ReadWatch watch) {
  const StoredTensor* scales = source.scales(weight);
  if (scales == nullptr) return {};
  std::vector<float> scale_inv(scales->slab_bytes() / sizeof(float));
  SlabReader reader(source, *scales, slab, watch);
  reader.read(std::as_writable_bytes(std::span(scale_inv)));
  reader.finish();
  return scale_inv;
}

int num_blocks(int extent) { return (extent + kFp8Block - 1) / kFp8Block; }

}  // namespace

FloatBands::FloatBands(const TensorSource& source, const StoredTensor& tensor, std::int64_t slab, ReadWatch watch)
    : tensor_(tensor),
      reader_(source, tensor, slab, watch),
      part_rows_(tensor.is_vector() ? 1 : int(tensor.part_shape()[0])),
      num_columns_(int(tensor.shape.back())),
      scale_inv_(read_scales(source, tensor, slab, watch)) {
  const std::int64_t blocks = std::max<std::int64_t>(kBandValues / num_columns_ / kFp8Block, 1);
  band_rows_ = int(std::min<std::int64_t>(blocks * kFp8Block, part_rows_));
  stored_.resize(std::size_t(band_rows_) * std::size_t(num_columns_) * size_bytes(tensor.dtype));
  values_.resize(std::size_t(band_rows_) * std::size_t(num_columns_));
}

FloatBand FloatBands::next(const HostExecSpace& exec) {
  if (reader_.remaining_bytes() == 0) {
    reader_.finish();
    return {};
  }
  const int row_in_part = int(next_row_ % part_rows_);
  const int num_rows = std::min(band_rows_, part_rows_ - row_in_part);
  const std::size_t num_values = std::size_t(num_rows) * std::size_t(num_columns_);
  reader_.read(std::span(stored_).first(num_values * size_bytes(tensor_.dtype)));
  expand(exec, num_values, num_rows);
  const FloatBand band{std::span(values_).first(num_values), next_row_ * num_columns_, num_rows, num_columns_};
  next_row_ += num_rows;
  return band;
}

void FloatBands::expand(const HostExecSpace& exec, std::size_t num_values, int num_rows) {
  const std::span<float> out = std::span(values_).first(num_values);
  switch (tensor_.dtype) {
    case DType::float32:
      std::memcpy(out.data(), stored_.data(), out.size_bytes());
      return;
    case DType::bfloat16:
      return convert_values<Bf16, float>(exec, {reinterpret_cast<const Bf16*>(stored_.data()), num_values}, out);
    case DType::float8_e4m3fn: {
      const std::int64_t part = next_row_ / part_rows_, row_in_part = next_row_ % part_rows_;
      const std::int64_t first_block_row = part * num_blocks(part_rows_) + row_in_part / kFp8Block;
      const std::size_t scales_per_row = std::size_t(num_blocks(num_columns_));
      const auto scale_inv = std::span<const float>(scale_inv_)
                                 .subspan(std::size_t(first_block_row) * scales_per_row,
                                          std::size_t(num_blocks(num_rows)) * scales_per_row);
      return expand_fp8_blocks(exec, {reinterpret_cast<const Fp8E4M3*>(stored_.data()), num_values}, scale_inv,
                               num_rows, num_columns_, out);
    }
    default:
      raise("'{}' is {}, which has no values to expand", tensor_.name, m2::name(tensor_.dtype));
  }
}

}  // namespace m2
