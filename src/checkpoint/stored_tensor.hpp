// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/dtype.hpp"
#include "model/parameter_schema.hpp"

namespace m2 {

/// A tensor as a checkpoint of any format holds it: a parameter, or the block scales of one. Scales have the schema of
/// their weight with another name and shape.
struct StoredTensor : ParameterSchema {
  DType dtype{};
  bool is_scale = false;
  std::vector<std::string> parts = {};  ///< Hugging Face names of the contiguous pieces it is made of, in storage order
  std::vector<std::uint64_t> slab_hashes = {};  ///< XXH3-64 of each slab; empty if the checkpoint has none

  std::uint64_t size_bytes() const { return std::uint64_t(num_values()) * m2::size_bytes(dtype); }
  /// Pieces of the first axis that are hashed, read and written as one: the experts.
  std::int64_t num_slabs() const { return is_expert_stack() ? shape[0] : 1; }
  std::uint64_t slab_bytes() const { return size_bytes() / std::uint64_t(num_slabs()); }
  /// Of each part: a stack has one for each expert and row part.
  std::vector<std::int64_t> part_shape() const;
  std::int64_t num_part_values() const { return num_values() / num_slabs() / num_row_parts; }
};

/// A parameter that a checkpoint holds as `dtype`.
StoredTensor stored_tensor(ParameterSchema schema, DType dtype);

/// "<weight>_scale_inv", the float32 scales of a weight stored as FP8. Throws Error for a tensor that has no blocks.
StoredTensor scales_of(const StoredTensor& weight);

/// Adds a parameter to the list of a checkpoint's tensors, and its scales behind it if it is FP8.
void append_with_scales(std::vector<StoredTensor>& list, StoredTensor tensor);

/// One slab of a tensor.
struct Slab {
  const StoredTensor* tensor = nullptr;
  std::int64_t index = 0;

  std::uint64_t size_bytes() const { return tensor->slab_bytes(); }
  /// Of its first byte, within the tensor.
  std::uint64_t byte_offset() const { return std::uint64_t(index) * tensor->slab_bytes(); }
};

}  // namespace m2
