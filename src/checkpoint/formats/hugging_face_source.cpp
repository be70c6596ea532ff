// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/hugging_face_source.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "checkpoint/formats/path_in.hpp"
#include "checkpoint/match_tensors.hpp"
#include "io/file.hpp"

namespace m2 {
namespace {

MiniMaxM2Config read_config(const std::string& folder) {
  const std::string path = path_in(folder, kConfigFile.file_name);
  return MiniMaxM2Config::from_json(read_text_file(path), path);
}

}  // namespace

HuggingFaceSource::HuggingFaceSource(const std::string& folder)
    : TensorSource(folder, read_config(folder)), files_(folder) {
  std::vector<std::string> names;
  names.reserve(files_.tensors().size());
  for (const SafetensorsCheckpoint::Tensor& tensor : files_.tensors()) names.push_back(tensor.entry->name);
  const auto find = [this](const std::string& name) -> std::optional<FileEntry> {
    const SafetensorsCheckpoint::Tensor* tensor = files_.find(name);
    if (tensor == nullptr) return std::nullopt;
    return FileEntry{tensor->entry, tensor->file->path()};
  };
  set_tensors(match_tensors(config(), Naming::published, folder, names, find));
  for (const StoredTensor& tensor : tensors()) {
    auto& parts = parts_[tensor.name];
    for (const std::string& part : tensor.parts) parts.push_back(*files_.find(part));
  }
}

std::optional<std::string> HuggingFaceSource::text(const TextFile& file) const {
  const std::string file_path = path_in(path(), file.file_name);
  if (!std::filesystem::exists(file_path)) return std::nullopt;
  return read_text_file(file_path);
}

void HuggingFaceSource::read(const StoredTensor& tensor, std::uint64_t byte_offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const SafetensorsCheckpoint::Tensor& found = part(tensor, byte_offset);
    const std::uint64_t offset_in_part = byte_offset % found.entry->size_bytes;
    const auto piece = out.first(std::min<std::uint64_t>(out.size(), found.entry->size_bytes - offset_in_part));
    found.file->read(*found.entry, offset_in_part, piece);
    byte_offset += piece.size();
    out = out.subspan(piece.size());
  }
}

void HuggingFaceSource::fetch(const StoredTensor& tensor, std::uint64_t byte_offset, std::uint64_t size_bytes,
                              Fetch how) const {
  while (size_bytes > 0) {
    const SafetensorsCheckpoint::Tensor& found = part(tensor, byte_offset);
    const std::uint64_t offset_in_part = byte_offset % found.entry->size_bytes;
    const std::uint64_t piece_bytes = std::min(size_bytes, found.entry->size_bytes - offset_in_part);
    found.file->fetch(*found.entry, offset_in_part, piece_bytes, how);
    byte_offset += piece_bytes;
    size_bytes -= piece_bytes;
  }
}

std::uint64_t HuggingFaceSource::disk_position(const StoredTensor& tensor, std::uint64_t byte_offset) const {
  constexpr int kFileShift = 44;  // files of up to 16 TiB, a million of them
  const SafetensorsCheckpoint::Tensor& found = part(tensor, byte_offset);
  const auto file_index = std::uint64_t(found.file - files_.files().data());
  return (file_index << kFileShift) + found.entry->offset + byte_offset % found.entry->size_bytes;
}

std::vector<FileEntry> HuggingFaceSource::entries() const {
  std::vector<FileEntry> entries;
  for (const auto& [file, entry] : files_.tensors()) entries.push_back({entry, file->path()});
  return entries;
}

const SafetensorsCheckpoint::Tensor& HuggingFaceSource::part(const StoredTensor& tensor,
                                                             std::uint64_t byte_offset) const {
  const auto& parts = parts_.at(tensor.name);
  return parts[std::size_t(byte_offset / parts[0].entry->size_bytes)];
}

}  // namespace m2
