// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/file.hpp"
#include "io/tensor_entry.hpp"

namespace m2 {

/// Writes one safetensors file whose tensors are known beforehand. The file appears under its name at finish(); without
/// it nothing is left behind. write() may be called from many threads at once. Several processes can write one file:
/// one creates it, the others join.
class SafetensorsWriter {
 public:
  /// The writer gives the tensors their places. Throws Error for a name given twice, a bad shape, or when the disk has
  /// no room for the whole file.
  SafetensorsWriter(const std::string& path, const std::vector<TensorEntry>& tensors,
                    const std::map<std::string, std::string>& metadata);

  /// The temporary name, for join().
  const std::string& pending_path() const { return pending_.file().path(); }
  /// A writer of pieces of the same file in another process, for the same plan. Its work ends with leave(); without it
  /// the file is removed.
  static SafetensorsWriter join(const std::string& pending_path, const std::vector<TensorEntry>& tensors,
                                const std::map<std::string, std::string>& metadata);
  /// Flushes what was written here and returns how many bytes of each tensor that was, for add_written() of the
  /// creator.
  std::vector<std::uint64_t> leave();
  void add_written(const std::vector<std::uint64_t>& bytes);

  /// The planned tensors, in the order of the plan, with their places in the file.
  const std::vector<TensorEntry>& entries() const { return entries_; }

  /// Writes a piece of the tensor entries()[index], from `byte_offset` within it. Throws Error beyond its end.
  void write(std::size_t index, std::uint64_t byte_offset, std::span<const std::byte> bytes);

  /// Flushes and renames. Throws Error naming the tensor if one was not written whole.
  void finish();

 private:
  SafetensorsWriter(PendingFile pending, const std::vector<TensorEntry>& tensors,
                    const std::map<std::string, std::string>& metadata);

  std::vector<TensorEntry> entries_;
  std::uint64_t file_size_bytes_ = 0;
  std::string header_;  // with its length before it
  std::unique_ptr<std::atomic<std::uint64_t>[]> written_bytes_;
  PendingFile pending_;
};

}  // namespace m2
