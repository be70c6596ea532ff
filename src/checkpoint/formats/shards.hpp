// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/tensor_source.hpp"
#include "io/safetensors_writer.hpp"

namespace m2 {

/// Which file of a Hugging Face folder holds which part of which tensor.
struct Shards {
  struct Place {
    std::size_t shard = 0;
    std::size_t entry = 0;  ///< within the shard
  };
  std::vector<std::vector<TensorEntry>> files;
  std::vector<std::vector<Place>> places;  ///< [tensor][part]

  /// "model.safetensors", or "model-00002-of-00005.safetensors".
  std::string file_name(std::size_t shard) const;
  /// model.safetensors.index.json; not needed for a single file.
  std::string index_json() const;
};

/// Fills files of at most `max_shard_bytes` of tensors in the order of the parts; a larger part has a file of its own.
Shards plan_shards(const std::vector<StoredTensor>& tensors, std::uint64_t max_shard_bytes);

}  // namespace m2
