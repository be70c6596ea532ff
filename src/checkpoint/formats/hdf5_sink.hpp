// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/tensor_sink.hpp"
#include "io/hdf5.hpp"

namespace m2 {

/// Writes a checkpoint file of ours; a file that is there already is replaced when the new one is complete.
class Hdf5Sink final : public TensorSink {
 public:
  Hdf5Sink(const std::string& path, const Texts& texts, const std::vector<StoredTensor>& tensors,
           std::uint64_t alignment_bytes);
  /// Joins the writing of the same tensors.
  Hdf5Sink(const std::string& invitation, const std::vector<StoredTensor>& tensors);

  void write(std::size_t index, std::uint64_t byte_offset, std::span<const std::byte> bytes) override;
  void set_hash(std::size_t index, std::int64_t slab, std::uint64_t hash) override;
  void finish() override;
  std::string invitation() const override { return writer_.invitation(); }
  std::string leave() override;
  void add_report(const std::string& report) override;

 private:
  Hdf5Writer writer_;
  std::size_t num_texts_;
  std::vector<std::vector<std::uint64_t>> hashes_;  // of each slab; zero for what others write
};

}  // namespace m2
