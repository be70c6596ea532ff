// SPDX-License-Identifier: Apache-2.0
// What training learns from: tokens, and which of them carry loss.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/no_label.hpp"
#include "text/tokenizer.hpp"

namespace m2 {

/// A sample, wherever it stands in an epoch: a part of a document of one of the files.
struct SampleId {
  int file = 0;                  ///< index in the files of the deck
  std::int64_t document = 0;     ///< in the file
  std::int64_t first_token = 0;  ///< in the document: not 0 where a long document was split
  bool operator==(const SampleId&) const = default;
};

/// Labels as in Hugging Face: labels[i] is what should follow tokens[0 .. i-1], usually tokens[i], or kNoLabel. Nothing
/// precedes the first token: labels[0] is always kNoLabel.
struct Document {
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> labels;  ///< as many
  std::int64_t line = 0;             ///< of the JSON Lines file it came from, counted from 1
  SampleId id = {};
};

/// How many positions carry loss.
std::int64_t count_labels(std::span<const std::int32_t> labels);

/// The document for a person to read: its text with [[ and ]] around what carries loss, after a line with its place and
/// counts. A label that is another token than the one there is shown as "(label: ...)" behind it. Without a tokenizer
/// (nullptr) tokens are shown by their ids.
std::string show_document(const Document& document, const Tokenizer* tokenizer);

}  // namespace m2
