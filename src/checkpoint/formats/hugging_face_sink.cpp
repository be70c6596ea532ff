// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/hugging_face_sink.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "io/file.hpp"

namespace m2 {
namespace {

// "pt" is what transformers looks for before it loads a file.
const std::map<std::string, std::string> kMetadata{{"format", "pt"}};

}  // namespace

HuggingFaceSink::HuggingFaceSink(const std::string& folder, const Texts& texts,
                                 const std::vector<StoredTensor>& tensors, std::uint64_t max_shard_bytes)
    : folder_(folder), shards_(plan_shards(tensors, max_shard_bytes)) {
  for (const auto& [file, text] : texts) write_text_file_atomically(folder_.path_of(file.file_name), text);
  for (std::size_t shard = 0; shard < shards_.files.size(); ++shard) {
    writers_.push_back(std::make_unique<SafetensorsWriter>(folder_.path_of(shards_.file_name(shard)),
                                                           shards_.files[shard], kMetadata));
  }
}

// The folder, and below it each file, by their temporary names.
std::string HuggingFaceSink::invitation() const {
  nlohmann::json names{folder_.pending_path()};
  for (const auto& writer : writers_) names.push_back(writer->pending_path());
  return names.dump();
}

HuggingFaceSink::HuggingFaceSink(const std::string& invitation, const std::vector<StoredTensor>& tensors,
                                 std::uint64_t max_shard_bytes)
    : folder_(PendingFolder::join(nlohmann::json::parse(invitation).at(0))),
      shards_(plan_shards(tensors, max_shard_bytes)) {
  const nlohmann::json names = nlohmann::json::parse(invitation);
  for (std::size_t shard = 0; shard < shards_.files.size(); ++shard) {
    writers_.push_back(std::make_unique<SafetensorsWriter>(
        SafetensorsWriter::join(names.at(shard + 1), shards_.files[shard], kMetadata)));
  }
}

std::string HuggingFaceSink::leave() {
  nlohmann::json written_bytes = nlohmann::json::array();
  for (const auto& writer : writers_) written_bytes.push_back(writer->leave());
  folder_.leave();
  return written_bytes.dump();
}

void HuggingFaceSink::add_report(const std::string& report) {
  const nlohmann::json written_bytes = nlohmann::json::parse(report);
  for (std::size_t shard = 0; shard < writers_.size(); ++shard) writers_[shard]->add_written(written_bytes.at(shard));
}

void HuggingFaceSink::write(std::size_t index, std::uint64_t byte_offset, std::span<const std::byte> bytes) {
  const std::vector<Shards::Place>& places = shards_.places[index];
  const std::uint64_t part_bytes = writers_[places[0].shard]->entries()[places[0].entry].size_bytes;
  while (!bytes.empty()) {
    const Shards::Place& place = places[std::size_t(byte_offset / part_bytes)];
    const std::uint64_t offset_in_part = byte_offset % part_bytes;
    const auto piece = bytes.first(std::min<std::uint64_t>(bytes.size(), part_bytes - offset_in_part));
    writers_[place.shard]->write(place.entry, offset_in_part, piece);
    byte_offset += piece.size();
    bytes = bytes.subspan(piece.size());
  }
}

void HuggingFaceSink::set_hash(std::size_t, std::int64_t, std::uint64_t) {}  // the format has no place for it

void HuggingFaceSink::finish() {
  for (const auto& writer : writers_) writer->finish();
  if (writers_.size() > 1)
    write_text_file_atomically(folder_.path_of("model.safetensors.index.json"), shards_.index_json());
  folder_.publish();
}

}  // namespace m2
