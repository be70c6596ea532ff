// SPDX-License-Identifier: Apache-2.0
#include "train/data/document_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>

#include "core/enum_names.hpp"
#include "core/error.hpp"
#include "core/plural.hpp"
#include "core/stop_signal.hpp"
#include "io/file.hpp"
#include "io/hash.hpp"
#include "io/hdf5_manifest.hpp"
#include "io/strict_json.hpp"

namespace m2 {
namespace {

constexpr const char* kTokens = "/data/tokens";
constexpr const char* kLabels = "/data/labels";
constexpr const char* kEnds = "/data/ends";
constexpr const char* kLines = "/data/lines";
constexpr const char* kInfo = "/data/info";
constexpr std::int64_t kScanTokens = std::int64_t{1} << 20;

// What of the section is in the labels of a file of tokens.
nlohmann::json settings(const DataSection& section) {
  return {{"train_on", std::string(name(section.train_on))},
          {"train_on_thinking", section.train_on_thinking},
          {"history_thinking", std::string(name(section.history_thinking))}};
}

const Hdf5Dataset& require_dataset(const Hdf5Reader& reader, const char* path, DType dtype) {
  const Hdf5Dataset* const dataset = reader.find(path);
  M2_REQUIRE(dataset != nullptr && dataset->dtype == dtype && dataset->shape.size() == 1,
             "'{}' is no file of training tokens: it has no dataset '{}' of {}; make one with m2-convert tokenize",
             reader.path(), path, name(dtype));
  return *dataset;
}

std::vector<std::int64_t> read_whole(const Hdf5Reader& reader, const char* path) {
  const Hdf5Dataset& dataset = require_dataset(reader, path, DType::int64);
  std::vector<std::int64_t> values(std::size_t(dataset.shape[0]));
  reader.read_slabs(dataset, 0, dataset.num_slabs, std::as_writable_bytes(std::span(values)));
  return values;
}

void read_part(const Hdf5Reader& reader, const char* path, std::int64_t first, std::span<std::int32_t> out) {
  reader.read_bytes(*reader.find(path), std::uint64_t(first) * sizeof(std::int32_t), std::as_writable_bytes(out));
}

void require_hash(const Hdf5Reader& reader, const char* path, std::uint64_t hash) {
  const Hdf5Dataset& dataset = *reader.find(path);
  M2_REQUIRE(dataset.num_slabs == 1 && dataset.hashes[0] == hash,
             "'{}' is altered or damaged: dataset '{}' differs from what was written: copy it again", reader.path(),
             path);
}

}  // namespace

DocumentStore::DocumentStore(const std::string& path, const DataSection& section, const DataContext& context,
                             std::FILE* progress)
    : path_(path) {
  // A pipe cannot be looked into and read again.
  const bool is_file = std::filesystem::is_regular_file(path);
  if (is_file && has_manifest(File(path, File::Mode::read))) {
    open_tokens(section);
  } else {
    list_ = read_json_lines(path, section, context, progress);
  }
  scan(context);
}

void DocumentStore::open_tokens(const DataSection& section) {
  reader_.emplace(path_);
  list_.ends = read_whole(*reader_, kEnds);
  list_.lines = read_whole(*reader_, kLines);
  std::int64_t end = 0;
  bool ascending = list_.lines.size() == list_.ends.size();
  for (const std::int64_t next : list_.ends) {
    ascending = ascending && next > end;
    end = next;
  }
  for (const char* path : {kTokens, kLabels}) {
    M2_REQUIRE(ascending && require_dataset(*reader_, path, DType::int32).shape[0] == end,
               "'{}': the ends of its documents do not fit dataset '{}'", path_, path);
  }
  const nlohmann::json info = parse_strict_json(reader_->text(kInfo), path_ + ": " + kInfo);
  const auto count = [&](const char* key) {
    const auto value = info.is_object() && info.contains(key)
                           ? whole_number(info[key], 0, std::numeric_limits<std::int64_t>::max())
                           : std::nullopt;
    M2_REQUIRE(value, "'{}': {} has no count '{}'", path_, kInfo, key);
    return *value;
  };
  list_.counts = {.lines = count("lines"), .bad_lines = count("bad_lines"), .empty = count("empty")};
  const nlohmann::json all_wanted = settings(section);
  for (const auto& [key, wanted] : all_wanted.items()) {
    const nlohmann::json found = info.value(key, nlohmann::json());
    M2_REQUIRE(found == wanted,
               "'{}' was made with {} {}, and data.{} is {}: the labels are in the file; change the deck, or tokenize "
               "again",
               path_, key, json_excerpt(found), key, json_excerpt(wanted));
  }
}

// Hashes, checks and counts, in pieces that need little memory.
void DocumentStore::scan(const DataContext& context) {
  Hash64 token_hash, label_hash;
  std::vector<std::int32_t> token_piece, label_piece;
  std::int64_t document = 0, labels_of_document = 0;
  const auto is_token = [&](std::int32_t id) { return id >= 0 && id < context.vocab_size; };
  for (std::int64_t first = 0; first < num_tokens(); first += kScanTokens) {
    throw_if_stop_requested();
    const auto count = std::size_t(std::min(kScanTokens, num_tokens() - first));
    std::span<const std::int32_t> tokens, labels;
    if (reader_) {
      token_piece.resize(count);
      label_piece.resize(count);
      read_part(*reader_, kTokens, first, token_piece);
      read_part(*reader_, kLabels, first, label_piece);
      tokens = token_piece;
      labels = label_piece;
    } else {
      tokens = std::span(list_.tokens).subspan(std::size_t(first), count);
      labels = std::span(list_.labels).subspan(std::size_t(first), count);
    }
    token_hash.update(std::as_bytes(tokens));
    label_hash.update(std::as_bytes(labels));
    for (std::size_t i = 0; i < count; ++i) {
      M2_REQUIRE(is_token(tokens[i]) && (labels[i] == kNoLabel || is_token(labels[i])),
                 "{}: document {} has token {} with label {}, the model's vocabulary ends at {}", path_, document,
                 tokens[i], labels[i], context.vocab_size - 1);
      labels_of_document += labels[i] == kNoLabel ? 0 : 1;
      if (first + std::int64_t(i) + 1 < list_.ends[document]) continue;
      num_label_tokens_ += labels_of_document;
      num_without_labels_ += labels_of_document == 0 ? 1 : 0;
      labels_of_document = 0;
      ++document;
    }
  }
  if (reader_) {
    require_hash(*reader_, kTokens, token_hash.digest());
    require_hash(*reader_, kLabels, label_hash.digest());
  }
  const std::array digests{token_hash.digest(), label_hash.digest(), hash64(std::as_bytes(std::span(list_.ends))),
                           hash64(std::as_bytes(std::span(list_.lines)))};
  content_hash_ = hash64(std::as_bytes(std::span(digests)));
}

Document DocumentStore::read(std::int64_t document, std::int64_t first, std::int64_t count) const {
  const std::int64_t from = begin(document) + first;
  Document part{.tokens = {},
                .labels = {},
                .line = line(document),
                .id = {.file = 0, .document = document, .first_token = first}};
  if (reader_) {
    part.tokens.resize(std::size_t(count));
    part.labels.resize(std::size_t(count));
    read_part(*reader_, kTokens, from, part.tokens);
    read_part(*reader_, kLabels, from, part.labels);
  } else {
    part.tokens.assign(list_.tokens.begin() + from, list_.tokens.begin() + from + count);
    part.labels.assign(list_.labels.begin() + from, list_.labels.begin() + from + count);
  }
  part.labels[0] = kNoLabel;
  return part;
}

std::string DocumentStore::summary() const {
  const auto& [lines, bad_lines, empty] = list_.counts;
  std::string text = fmt::format("{}: {} of {}, {} tokens, {} with loss", path_, counted(num_documents(), "document"),
                                 counted(lines, "line"), num_tokens(), num_label_tokens_);
  if (num_without_labels_ > 0) text += fmt::format("; {} without any", counted(num_without_labels_, "document"));
  if (empty > 0) text += fmt::format("; {} left out", counted(empty, "empty document"));
  if (bad_lines > 0) text += fmt::format("; {} left out", counted(bad_lines, "bad line"));
  if (!list_.first_bad_line.empty()) text += fmt::format(", the first: {}", list_.first_bad_line);
  return text;
}

void write_token_file(const std::string& path, const DocumentList& list, const DataSection& section) {
  nlohmann::json info = settings(section);
  info["lines"] = list.counts.lines;
  info["bad_lines"] = list.counts.bad_lines;
  info["empty"] = list.counts.empty;
  const std::string text = info.dump();
  Hdf5Writer writer(path, {{kTokens, DType::int32, {std::ssize(list.tokens)}},
                           {kLabels, DType::int32, {std::ssize(list.labels)}},
                           {kEnds, DType::int64, {std::ssize(list.ends)}},
                           {kLines, DType::int64, {std::ssize(list.lines)}},
                           text_plan(kInfo, text.size())});
  writer.write_all(0, std::as_bytes(std::span(list.tokens)));
  writer.write_all(1, std::as_bytes(std::span(list.labels)));
  writer.write_all(2, std::as_bytes(std::span(list.ends)));
  writer.write_all(3, std::as_bytes(std::span(list.lines)));
  writer.write_all(4, std::as_bytes(std::span(text)));
  writer.finish();
}

}  // namespace m2
