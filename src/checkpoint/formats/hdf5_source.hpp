// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/tensor_source.hpp"
#include "io/hdf5.hpp"

namespace m2 {

/// A checkpoint file of ours. Datasets outside /model other than the texts are its others().
class Hdf5Source final : public TensorSource {
 public:
  explicit Hdf5Source(Hdf5Reader reader);

  std::optional<std::string> text(const TextFile& file) const override;
  void read(const StoredTensor& tensor, std::uint64_t byte_offset, std::span<std::byte> out) const override;
  void fetch(const StoredTensor& tensor, std::uint64_t byte_offset, std::uint64_t size_bytes, Fetch how) const override;
  std::uint64_t disk_position(const StoredTensor& tensor, std::uint64_t byte_offset) const override;
  std::vector<FileEntry> entries() const override;

 private:
  const Hdf5Dataset& dataset(const StoredTensor& tensor) const;
  void take_hashes(StoredTensor& tensor) const;

  Hdf5Reader reader_;
};

}  // namespace m2
