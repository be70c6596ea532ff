// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/shards.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "io/shape.hpp"

namespace m2 {

std::string Shards::file_name(std::size_t shard) const {
  if (files.size() <= 1) return "model.safetensors";
  return fmt::format("model-{:05}-of-{:05}.safetensors", shard + 1, files.size());
}

std::string Shards::index_json() const {
  std::uint64_t total_bytes = 0;
  nlohmann::json weight_map = nlohmann::json::object();
  for (std::size_t shard = 0; shard < files.size(); ++shard) {
    for (const TensorEntry& tensor : files[shard]) {
      total_bytes += checked_size_bytes(tensor.dtype, tensor.shape).value();
      weight_map[tensor.name] = file_name(shard);
    }
  }
  const nlohmann::json index{{"metadata", {{"total_size", total_bytes}}}, {"weight_map", std::move(weight_map)}};
  return index.dump(2) + "\n";
}

Shards plan_shards(const std::vector<StoredTensor>& tensors, std::uint64_t max_shard_bytes) {
  Shards shards;
  std::uint64_t used_bytes = 0;
  for (const StoredTensor& tensor : tensors) {
    const std::uint64_t part_bytes = std::uint64_t(tensor.num_part_values()) * size_bytes(tensor.dtype);
    auto& places = shards.places.emplace_back();
    for (const std::string& part : tensor.parts) {
      if (shards.files.empty() || used_bytes + part_bytes > max_shard_bytes) {
        shards.files.emplace_back();
        used_bytes = 0;
      }
      places.push_back({shards.files.size() - 1, shards.files.back().size()});
      shards.files.back().push_back({part, tensor.dtype, tensor.part_shape()});
      used_bytes += part_bytes;
    }
  }
  return shards;
}

}  // namespace m2
