// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors.hpp"

#include "core/error.hpp"

namespace m2 {

SafetensorsFile::SafetensorsFile(const std::string& path)
    : file_(path, File::Mode::read),
      map_(file_),
      header_(parse_safetensors_header(map_.bytes(), map_.bytes().size(), path)) {
  index_.reserve(header_.entries.size());
  for (std::size_t i = 0; i < header_.entries.size(); ++i) index_.emplace(header_.entries[i].name, i);
}

const TensorEntry* SafetensorsFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &header_.entries[found->second];
}

std::span<const std::byte> SafetensorsFile::bytes(const TensorEntry& entry) const {
  return map_.bytes().subspan(entry.offset, entry.size_bytes);
}

void SafetensorsFile::read(const TensorEntry& entry, std::uint64_t byte_offset, std::span<std::byte> out) const {
  M2_REQUIRE(byte_offset <= entry.size_bytes && out.size() <= entry.size_bytes - byte_offset,
             "{}: cannot read {} bytes from byte {} of tensor '{}', which has {}", path(), out.size(), byte_offset,
             entry.name, entry.size_bytes);
  file_.read_at(entry.offset + byte_offset, out);
}

}  // namespace m2
