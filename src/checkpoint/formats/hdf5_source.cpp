// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/hdf5_source.hpp"

#include <algorithm>
#include <utility>

#include "checkpoint/formats/dataset_plan.hpp"
#include "checkpoint/match_tensors.hpp"
#include "core/error.hpp"

namespace m2 {
namespace {

MiniMaxM2Config read_config(const Hdf5Reader& reader) {
  M2_REQUIRE(reader.find(kConfigFile.dataset) != nullptr, "'{}' has no {}: it is not a checkpoint of m2-convert",
             reader.path(), kConfigFile.dataset);
  return MiniMaxM2Config::from_json(reader.text(kConfigFile.dataset),
                                    reader.path() + ":" + std::string(kConfigFile.dataset));
}

bool is_text_file(const std::string& dataset) {
  return std::ranges::any_of(kTextFiles, [&](const TextFile& file) { return file.dataset == dataset; });
}

}  // namespace

Hdf5Source::Hdf5Source(Hdf5Reader reader)
    : TensorSource(reader.path(), read_config(reader)), reader_(std::move(reader)) {
  std::vector<std::string> names;
  for (const Hdf5Dataset& dataset : reader_.datasets()) {
    if (dataset.name.starts_with("/model/")) names.push_back(dataset.name);
  }
  const auto find = [this](const std::string& name) -> std::optional<FileEntry> {
    const Hdf5Dataset* dataset = reader_.find(name);
    if (dataset == nullptr) return std::nullopt;
    return FileEntry{dataset, reader_.path()};
  };
  std::vector<StoredTensor> tensors = match_tensors(config(), Naming::native, path(), names, find);
  for (StoredTensor& tensor : tensors) take_hashes(tensor);
  set_tensors(std::move(tensors));
  std::vector<StoredTensor> others;
  for (const Hdf5Dataset& dataset : reader_.datasets()) {
    if (dataset.name.starts_with("/model/") || is_text_file(dataset.name)) continue;
    StoredTensor& other = others.emplace_back();
    other.name = dataset.name;
    other.shape = dataset.shape;
    other.dtype = dataset.dtype;
    take_hashes(other);
  }
  set_others(std::move(others));
}

void Hdf5Source::take_hashes(StoredTensor& tensor) const {
  const Hdf5Dataset& stored = dataset(tensor);
  M2_REQUIRE(stored.num_slabs == tensor.num_slabs(), "'{}': {} has {} slabs, expected {}", path(), stored.name,
             stored.num_slabs, tensor.num_slabs());
  tensor.slab_hashes = stored.hashes;
}

std::optional<std::string> Hdf5Source::text(const TextFile& file) const {
  if (reader_.find(file.dataset) == nullptr) return std::nullopt;
  return reader_.text(file.dataset);
}

void Hdf5Source::read(const StoredTensor& tensor, std::uint64_t byte_offset, std::span<std::byte> out) const {
  reader_.read_bytes(dataset(tensor), byte_offset, out);
}

void Hdf5Source::fetch(const StoredTensor& tensor, std::uint64_t byte_offset, std::uint64_t size_bytes,
                       Fetch how) const {
  reader_.fetch(dataset(tensor), byte_offset, size_bytes, how);
}

std::uint64_t Hdf5Source::disk_position(const StoredTensor& tensor, std::uint64_t byte_offset) const {
  return dataset(tensor).offset + byte_offset;
}

std::vector<FileEntry> Hdf5Source::entries() const {
  std::vector<FileEntry> entries;
  for (const Hdf5Dataset& dataset : reader_.datasets()) entries.push_back({&dataset, path()});
  return entries;
}

const Hdf5Dataset& Hdf5Source::dataset(const StoredTensor& tensor) const { return *reader_.find(dataset_path(tensor)); }

}  // namespace m2
