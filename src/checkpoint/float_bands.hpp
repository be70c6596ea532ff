// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "checkpoint/slab_reader.hpp"
#include "checkpoint/tensor_source.hpp"
#include "core/views.hpp"

namespace m2 {

/// Some whole rows of a part of a tensor, in float32, row by row.
struct FloatBand {
  std::span<const float> values;
  std::int64_t first_value = 0;  ///< within the slab
  int num_rows = 0;
  int num_columns = 0;
};

/// Reads one slab of a tensor of any dtype as float32, FP8 expanded with its scales, a few MiB at a time. A band begins
/// at an FP8 block's border. Vectors are one row.
class FloatBands {
 public:
  FloatBands(const TensorSource& source, const StoredTensor& tensor, std::int64_t slab, ReadWatch watch);

  /// The next band, valid until the next call; with no rows at the end, after the slab's hash was verified.
  FloatBand next(const HostExecSpace& exec);

 private:
  void expand(const HostExecSpace& exec, std::size_t num_values, int num_rows);

  const StoredTensor& tensor_;
  SlabReader reader_;
  int part_rows_;
  int num_columns_;
  int band_rows_;
  std::int64_t next_row_ = 0;  // within the slab
  std::vector<std::byte> stored_;
  std::vector<float> values_;
  std::vector<float> scale_inv_;  // of the slab; empty unless FP8
};

}  // namespace m2
