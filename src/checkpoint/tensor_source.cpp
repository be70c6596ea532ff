// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/tensor_source.hpp"

#include <filesystem>
#include <utility>

#include "checkpoint/hdf5_source.hpp"
#include "checkpoint/hugging_face_source.hpp"
#include "checkpoint/slab_reader.hpp"
#include "core/error.hpp"

namespace m2 {

namespace {

// The table of rank 0's file; empty for a folder.
std::string table_of_rank_0(const std::string& path, bool is_folder, std::optional<Hdf5Reader>& reader,
                            Communicator& world) {
  if (world.rank() == 0 && !is_folder) reader.emplace(path);
  const std::string table = world.broadcast_text(reader ? reader->table() : "", 0);
  const auto kind = [](bool folder) { return folder ? "a folder" : "a file"; };
  M2_REQUIRE(is_folder == table.empty(), "'{}' is {} here and {} where rank 0 opened it: every rank must see the same",
             path, kind(is_folder), kind(table.empty()));
  return table;
}

}  // namespace

std::unique_ptr<TensorSource> TensorSource::open(const std::string& path, Communicator* world) {
  M2_REQUIRE(std::filesystem::exists(path), "'{}' does not exist; expected an HDF5 checkpoint or a Hugging Face folder",
             path);
  const bool is_folder = std::filesystem::is_directory(path);
  std::optional<Hdf5Reader> reader;
  std::string table;
  if (world != nullptr && world->size() > 1) table = table_of_rank_0(path, is_folder, reader, *world);
  if (is_folder) return std::make_unique<HuggingFaceSource>(path);
  if (!reader) reader = table.empty() ? Hdf5Reader(path) : Hdf5Reader(path, table);
  return std::make_unique<Hdf5Source>(std::move(*reader));
}

TensorSource::TensorSource(std::string path, MiniMaxM2Config config)
    : path_(std::move(path)), config_(std::move(config)) {}

void TensorSource::set_tensors(std::vector<StoredTensor> tensors) {
  tensors_ = std::move(tensors);
  for (std::size_t i = 0; i < tensors_.size(); ++i) index_.emplace(tensors_[i].name, i);
}

const StoredTensor* TensorSource::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const StoredTensor* TensorSource::scales(const StoredTensor& weight) const {
  return weight.dtype == DType::float8_e4m3fn ? find(weight.name + "_scale_inv") : nullptr;
}

std::optional<std::string> TensorSource::text(const TextFile&) const { return std::nullopt; }

void TensorSource::fetch(const StoredTensor&, std::uint64_t, std::uint64_t, Fetch) const {}

std::uint64_t TensorSource::disk_position(const StoredTensor&, std::uint64_t) const { return 0; }

std::vector<TensorLocation> TensorSource::locations() const { return {}; }

void TensorSource::read_slabs(const StoredTensor& tensor, std::int64_t first_slab, std::int64_t count,
                              std::span<std::byte> out) const {
  M2_REQUIRE(out.size() == std::uint64_t(count) * tensor.slab_bytes(), "{} slabs of '{}' have {} bytes, not {}", count,
             tensor.name, std::uint64_t(count) * tensor.slab_bytes(), out.size());
  for (std::int64_t i = 0; i < count; ++i) {
    SlabReader reader(*this, tensor, first_slab + i, {});
    reader.read(out.subspan(std::size_t(i) * tensor.slab_bytes(), tensor.slab_bytes()));
    reader.finish();
  }
}

}  // namespace m2
