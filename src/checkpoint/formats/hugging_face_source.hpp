// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "checkpoint/tensor_source.hpp"
#include "io/safetensors_checkpoint.hpp"

namespace m2 {

/// A Hugging Face folder. It has no hashes: what is read from it is not verified.
class HuggingFaceSource final : public TensorSource {
 public:
  explicit HuggingFaceSource(const std::string& folder);

  std::optional<std::string> text(const TextFile& file) const override;
  void read(const StoredTensor& tensor, std::uint64_t byte_offset, std::span<std::byte> out) const override;
  void fetch(const StoredTensor& tensor, std::uint64_t byte_offset, std::uint64_t size_bytes, Fetch how) const override;
  std::uint64_t disk_position(const StoredTensor& tensor, std::uint64_t byte_offset) const override;
  std::vector<FileEntry> entries() const override;

 private:
  const SafetensorsCheckpoint::Tensor& part(const StoredTensor& tensor, std::uint64_t byte_offset) const;

  SafetensorsCheckpoint files_;
  std::unordered_map<std::string, std::vector<SafetensorsCheckpoint::Tensor>> parts_;  // by native name
};

}  // namespace m2
