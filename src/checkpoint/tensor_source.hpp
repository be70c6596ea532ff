// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "checkpoint/stored_tensor.hpp"
#include "config/minimax_m2_config.hpp"
#include "io/file.hpp"
#include "io/tensor_entry.hpp"

namespace m2 {

/// A file that travels along with the tensors: its name in a Hugging Face folder and as an HDF5 dataset.
struct TextFile {
  std::string_view file_name;
  std::string_view dataset;
};
inline constexpr TextFile kConfigFile{"config.json", "/config"};
inline constexpr TextFile kTokenizerFile{"tokenizer.json", "/tokenizer"};
inline constexpr TextFile kTokenizerConfigFile{"tokenizer_config.json", "/tokenizer_config"};
inline constexpr TextFile kGenerationConfigFile{"generation_config.json", "/generation_config"};
inline constexpr TextFile kChatTemplateFile{"chat_template.jinja", "/chat_template"};
inline constexpr std::array kTextFiles{kConfigFile, kTokenizerFile, kTokenizerConfigFile, kGenerationConfigFile,
                                       kChatTemplateFile};

/// An entry of one of a checkpoint's files, and the path of that file.
struct FileEntry {
  const TensorEntry* entry = nullptr;
  std::string_view file;
};

/// One view of every kind of checkpoint: the parameters under the names and in the order of their schemas, each FP8
/// weight followed by its scales. Complete by construction: opening checks every name, shape and dtype against the
/// configuration. May be read from many threads at once.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  TensorSource(const TensorSource&) = delete;
  TensorSource& operator=(const TensorSource&) = delete;

  const std::string& path() const { return path_; }
  const MiniMaxM2Config& config() const { return config_; }
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  /// What a file holds beside the model and the texts that travel along: the state of a training run, each dataset
  /// under its path ("/trainer"). read() and fetch() take these, too.
  const std::vector<StoredTensor>& others() const { return others_; }

  /// nullptr if there is none.
  const StoredTensor* find(std::string_view name) const;
  /// The block scales of an FP8 weight; nullptr for all other tensors.
  const StoredTensor* scales(const StoredTensor& weight) const;

  /// The text of a file that travels along; nothing if this checkpoint has none.
  virtual std::optional<std::string> text(const TextFile& file) const;

  /// Copies out.size() bytes from `byte_offset` within the tensor, not verified.
  virtual void read(const StoredTensor& tensor, std::uint64_t byte_offset, std::span<std::byte> out) const = 0;

  /// Has bytes fetched that will be read soon; never fails.
  virtual void fetch(const StoredTensor& tensor, std::uint64_t byte_offset, std::uint64_t size_bytes, Fetch how) const;

  /// A number that grows in the order in which the bytes lie on the disk: read small ones first. The same for all bytes
  /// in memory.
  virtual std::uint64_t disk_position(const StoredTensor& tensor, std::uint64_t byte_offset) const;
  std::uint64_t disk_position(const Slab& slab) const { return disk_position(*slab.tensor, slab.byte_offset()); }

  /// Everything in the checkpoint's files, valid as long as this object; nothing for weights in memory.
  virtual std::vector<FileEntry> entries() const;

 protected:
  TensorSource(std::string path, MiniMaxM2Config config);
  /// To be called once, at the end of construction.
  void set_tensors(std::vector<StoredTensor> tensors);
  void set_others(std::vector<StoredTensor> others) { others_ = std::move(others); }

 private:
  std::string path_;
  MiniMaxM2Config config_;
  std::vector<StoredTensor> tensors_;
  std::vector<StoredTensor> others_;
  std::unordered_map<std::string_view, std::size_t> index_;  // views of the names in tensors_
};

}  // namespace m2
