// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "checkpoint/formats/hugging_face_sink.hpp"
#include "checkpoint/name_map.hpp"
#include "checkpoint/tensor_source.hpp"

namespace m2::test {

/// Random bytes that are finite numbers in each of the dtypes: in every 4-byte word the exponents of its float32, of
/// both bfloat16 and of all four e4m3fn values have a zero bit.
inline std::vector<std::byte> random_finite_bytes(std::size_t count) {
  std::mt19937 random(1);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = std::byte(random() & 0xbfu);
  return bytes;
}

/// Writes a Hugging Face folder of any size with random weights: `dtype` for attention and experts, bfloat16 for the
/// rest, float32 for the router.
inline void write_synthetic_checkpoint(const std::string& folder, MiniMaxM2Config config, DType dtype,
                                       std::uint64_t max_shard_bytes) {
  if (dtype == DType::float8_e4m3fn) config.quantization = released_quantization();
  std::vector<StoredTensor> tensors;
  const ParameterSchemas schemas(config);
  for (const ParameterSchema& schema : schemas.list()) {
    const DType other = schema.kind == ParameterKind::router ? DType::float32 : DType::bfloat16;
    append_with_scales(tensors, stored_tensor(schema, schema.may_be_fp8() ? dtype : other));
  }
  HuggingFaceSink sink(folder, {{kConfigFile, config.to_json()}}, tensors, max_shard_bytes);
  const std::vector<std::byte> bytes = random_finite_bytes(std::size_t{1} << 22);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::uint64_t size = tensors[i].size_bytes();
    for (std::uint64_t at = 0; at < size; at += bytes.size()) {
      sink.write(i, at, std::span(bytes).first(std::min<std::uint64_t>(bytes.size(), size - at)));
    }
  }
  sink.finish();
}

}  // namespace m2::test
