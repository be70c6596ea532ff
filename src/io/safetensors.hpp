// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/dtype.hpp"
#include "io/file.hpp"
#include "io/memory_map.hpp"
#include "io/tensor_entry.hpp"

namespace m2 {

struct SafetensorsHeader {
  std::vector<TensorEntry> entries;             ///< in the order of their bytes
  std::map<std::string, std::string> metadata;  ///< what "__metadata__" holds
};

/// Reads and checks the header (format: github.com/huggingface/safetensors) of a file of `file_size_bytes` that begins
/// with `prefix`, which must hold the whole header. Checked: its length, JSON, UTF-8, names and keys that occur twice,
/// dtypes, shape x dtype = bytes, and that the tensors cover the rest of the file without overlap or hole. Throws
/// Error.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> prefix, std::uint64_t file_size_bytes,
                                           const std::string& path);

/// "F32", "BF16", "F8_E4M3", ...: what the format calls it.
std::string_view safetensors_name(DType dtype);

/// An open safetensors file, its header checked completely. May be read from many threads at once.
class SafetensorsFile {
 public:
  /// Throws Error as parse_safetensors_header does.
  explicit SafetensorsFile(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const std::vector<TensorEntry>& entries() const { return header_.entries; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }

  /// nullptr if there is none.
  const TensorEntry* find(std::string_view name) const;

  /// The tensor's bytes in the memory map; pages that are touched count as resident.
  std::span<const std::byte> bytes(const TensorEntry& entry) const;

  /// Copies out.size() bytes from `byte_offset` within the tensor, without the map, so that no page stays resident.
  /// Throws Error if that is more than the tensor has.
  void read(const TensorEntry& entry, std::uint64_t byte_offset, std::span<std::byte> out) const;

  /// Has bytes of the tensor fetched that will be read soon.
  void fetch(const TensorEntry& entry, std::uint64_t byte_offset, std::uint64_t size_bytes, Fetch how) const {
    file_.fetch(entry.offset + byte_offset, size_bytes, how);
  }

 private:
  File file_;
  MemoryMap map_;
  SafetensorsHeader header_;
  std::unordered_map<std::string_view, std::size_t> index_;  // views of the names in header_
};

}  // namespace m2
