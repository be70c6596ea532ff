// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/open_checkpoint.hpp"

#include <filesystem>
#include <optional>
#include <utility>

#include "checkpoint/formats/hdf5_source.hpp"
#include "checkpoint/formats/hugging_face_source.hpp"
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

std::unique_ptr<TensorSource> open_checkpoint(const std::string& path, Communicator* world) {
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

}  // namespace m2
