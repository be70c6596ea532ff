// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "checkpoint/tensor_sink.hpp"
#include "io/hdf5.hpp"

namespace m2 {

/// Writes a checkpoint file of ours; a file that is there already is replaced when the new one is complete.
class Hdf5Sink final : public TensorSink {
 public:
  Hdf5Sink(const std::string& path, const Texts& texts, const std::vector<StoredTensor>& tensors);

  void write(std::size_t index, std::uint64_t byte_offset, std::span<const std::byte> bytes) override;
  void set_hash(std::size_t index, std::int64_t slab, std::uint64_t hash) override;
  void finish() override;

 private:
  std::size_t num_texts_;
  std::vector<std::vector<std::uint64_t>> hashes_;
  Hdf5Writer writer_;
  std::mutex one_write_at_a_time_;
};

}  // namespace m2
