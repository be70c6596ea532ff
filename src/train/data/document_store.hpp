// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "config/training_sections.hpp"
#include "io/hdf5.hpp"
#include "train/data/data_context.hpp"
#include "train/data/document.hpp"
#include "train/data/document_list.hpp"

namespace m2 {

/// The documents of one file of training data. Those of JSON Lines are tokenised when it is opened, and in memory (8
/// bytes a token); those of a file of tokens stay there and are read when they are asked for. May be read from several
/// threads at once.
class DocumentStore {
 public:
  /// What the file is, its content says. A file of tokens is read once to verify it: hashes, ids within the vocabulary,
  /// settings that are the section's (train_on, train_on_thinking, history_thinking). Throws Error.
  DocumentStore(const std::string& path, const DataSection& section, const DataContext& context,
                std::FILE* progress = nullptr);

  const std::string& path() const { return path_; }
  std::int64_t num_documents() const { return std::ssize(list_.ends); }
  std::int64_t num_tokens() const { return list_.ends.back(); }
  std::int64_t num_tokens(std::int64_t document) const { return list_.ends[document] - begin(document); }
  std::int64_t num_label_tokens() const { return num_label_tokens_; }
  std::int64_t num_without_labels() const { return num_without_labels_; }
  const LineCounts& line_counts() const { return list_.counts; }
  const std::string& first_bad_line() const { return list_.first_bad_line; }

  /// "t.jsonl: 12 documents of 12 lines, 3456 tokens, 1234 with loss", and what was left out.
  std::string summary() const;

  /// Line of the JSON Lines file that a document came from, counted from 1.
  std::int64_t line(std::int64_t document) const { return list_.lines[document]; }

  /// `count` tokens of a document from `first` on; the first of them has no label. Its id.file is 0.
  Document read(std::int64_t document, std::int64_t first, std::int64_t count) const;

  /// Equal for equal documents of equal lines, however they are stored.
  std::uint64_t content_hash() const { return content_hash_; }

 private:
  std::int64_t begin(std::int64_t document) const { return document == 0 ? 0 : list_.ends[document - 1]; }
  void open_tokens(const DataSection& section);
  void scan(const DataContext& context);

  std::string path_;
  std::optional<Hdf5Reader> reader_;  // of a file of tokens
  DocumentList list_;                 // then without tokens and labels
  std::int64_t num_label_tokens_ = 0;
  std::int64_t num_without_labels_ = 0;
  std::uint64_t content_hash_ = 0;
};

/// Writes a file of tokens, in place of one that is there: an HDF5 file with the datasets /data/tokens, /data/labels
/// (int32), /data/ends, /data/lines (int64) and /data/info, a JSON text with the counts and the section's settings that
/// made the labels. It appears under its name when it is complete.
void write_token_file(const std::string& path, const DocumentList& list, const DataSection& section);

}  // namespace m2
