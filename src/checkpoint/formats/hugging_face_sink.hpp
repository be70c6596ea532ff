// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/formats/pending_folder.hpp"
#include "checkpoint/formats/shards.hpp"
#include "checkpoint/tensor_sink.hpp"
#include "io/safetensors_writer.hpp"

namespace m2 {

/// Writes a folder as `save_pretrained` does: model.safetensors, or numbered shards and their index.
class HuggingFaceSink final : public TensorSink {
 public:
  /// `max_shard_bytes`: see plan_shards(). Throws Error if there is something at `folder` other than an empty folder.
  HuggingFaceSink(const std::string& folder, const Texts& texts, const std::vector<StoredTensor>& tensors,
                  std::uint64_t max_shard_bytes);
  /// Joins the writing of the same tensors.
  HuggingFaceSink(const std::string& invitation, const std::vector<StoredTensor>& tensors,
                  std::uint64_t max_shard_bytes);

  void write(std::size_t index, std::uint64_t byte_offset, std::span<const std::byte> bytes) override;
  void set_hash(std::size_t index, std::int64_t slab, std::uint64_t hash) override;
  void finish() override;
  std::string invitation() const override;
  std::string leave() override;
  void add_report(const std::string& report) override;

 private:
  PendingFolder folder_;
  Shards shards_;
  std::vector<std::unique_ptr<SafetensorsWriter>> writers_;
};

}  // namespace m2
