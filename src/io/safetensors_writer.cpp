// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors_writer.hpp"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <unordered_set>
#include <utility>

#include "core/error.hpp"
#include "io/safetensors.hpp"
#include "io/shape.hpp"

namespace m2 {
namespace {

constexpr std::uint64_t kAlignmentBytes = 8;  // what the format's own library pads the header to

// Offsets are counted from the end of the header. Wide elements come first, as in the format's own library, so that
// every tensor of a mapped file is aligned to its element.
std::vector<TensorEntry> place_tensors(std::vector<TensorEntry> entries, const std::string& path) {
  std::unordered_set<std::string_view> names;
  for (TensorEntry& entry : entries) {
    const auto size = checked_size_bytes(entry.dtype, entry.shape);
    M2_REQUIRE(size, "{}: tensor '{}' cannot have shape {}", path, entry.name, shape_text(entry.shape));
    M2_REQUIRE(names.insert(entry.name).second, "{}: tensor '{}' is planned twice", path, entry.name);
    entry.size_bytes = *size;
  }
  std::vector<std::size_t> order(entries.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater{}, [&](std::size_t i) { return size_bytes(entries[i].dtype); });
  std::uint64_t offset = 0;
  for (const std::size_t i : order) {
    entries[i].offset = offset;
    offset += entries[i].size_bytes;
  }
  return entries;
}

// Joined by hand: nlohmann's ordered object searches all its keys for each new one.
std::string header_text(const std::vector<TensorEntry>& entries, const std::map<std::string, std::string>& metadata,
                        const std::string& path) {
  using OrderedJson = nlohmann::ordered_json;
  std::string text = "{";
  const auto add = [&](const std::string& key, const OrderedJson& value) {
    text += (text.size() > 1 ? "," : "") + OrderedJson(key).dump() + ":" + value.dump();
  };
  try {
    if (!metadata.empty()) add("__metadata__", metadata);
    for (const TensorEntry& entry : entries) {
      add(entry.name, {{"dtype", safetensors_name(entry.dtype)},
                       {"shape", entry.shape},
                       {"data_offsets", {entry.offset, entry.offset + entry.size_bytes}}});
    }
  } catch (const OrderedJson::type_error&) {
    raise("{}: names and metadata of a safetensors file must be valid UTF-8", path);
  }
  text += '}';
  text.append((kAlignmentBytes - text.size() % kAlignmentBytes) % kAlignmentBytes, ' ');
  return text;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(PendingFile pending, const std::vector<TensorEntry>& tensors,
                                     const std::map<std::string, std::string>& metadata)
    : entries_(place_tensors(tensors, pending.target())),
      written_bytes_(new std::atomic<std::uint64_t>[tensors.size()]()),
      pending_(std::move(pending)) {
  const std::string text = header_text(entries_, metadata, pending_.target());
  const std::uint64_t length = text.size();
  header_ = std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + text;
  file_size_bytes_ = header_.size();
  for (TensorEntry& entry : entries_) {
    entry.offset += header_.size();
    file_size_bytes_ += entry.size_bytes;
  }
}

SafetensorsWriter::SafetensorsWriter(const std::string& path, const std::vector<TensorEntry>& tensors,
                                     const std::map<std::string, std::string>& metadata)
    : SafetensorsWriter(PendingFile(path), tensors, metadata) {
  pending_.file().reserve(file_size_bytes_);
  pending_.file().write_at(0, std::as_bytes(std::span(header_)));
}

SafetensorsWriter SafetensorsWriter::join(const std::string& pending_path, const std::vector<TensorEntry>& tensors,
                                          const std::map<std::string, std::string>& metadata) {
  return {PendingFile::join(pending_path), tensors, metadata};
}

std::vector<std::uint64_t> SafetensorsWriter::leave() {
  pending_.leave();
  return {written_bytes_.get(), written_bytes_.get() + entries_.size()};
}

void SafetensorsWriter::add_written(const std::vector<std::uint64_t>& bytes) {
  for (std::size_t i = 0; i < entries_.size(); ++i) written_bytes_[i] += bytes.at(i);
}

void SafetensorsWriter::write(std::size_t index, std::uint64_t byte_offset, std::span<const std::byte> bytes) {
  const TensorEntry& entry = entries_.at(index);
  M2_REQUIRE(byte_offset <= entry.size_bytes && bytes.size() <= entry.size_bytes - byte_offset,
             "{}: cannot write {} bytes at byte {} of tensor '{}', which has {}", pending_.file().path(), bytes.size(),
             byte_offset, entry.name, entry.size_bytes);
  pending_.file().write_at(entry.offset + byte_offset, bytes);
  written_bytes_[index] += bytes.size();
}

void SafetensorsWriter::finish() {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    M2_REQUIRE(written_bytes_[i] == entries_[i].size_bytes, "{}: {} bytes of tensor '{}' were written, expected {}",
               pending_.file().path(), written_bytes_[i].load(), entries_[i].name, entries_[i].size_bytes);
  }
  pending_.publish();
}

}  // namespace m2
