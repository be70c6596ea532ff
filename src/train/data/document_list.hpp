// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "config/training_sections.hpp"
#include "train/data/data_context.hpp"

namespace m2 {

/// What was read beside the documents.
struct LineCounts {
  std::int64_t lines = 0;      ///< that are not blank
  std::int64_t bad_lines = 0;  ///< left out, as data.on_bad_line: skip wants
  std::int64_t empty = 0;      ///< documents without a token, left out
};

/// Documents one after the other.
struct DocumentList {
  std::vector<std::int32_t> tokens, labels;
  std::vector<std::int64_t> ends;   ///< of each document, in tokens
  std::vector<std::int64_t> lines;  ///< of the file, counted from 1
  LineCounts counts;
  std::string first_bad_line;  ///< what was wrong with it
};

/// Reads and tokenises JSON Lines (LineParser) on several threads; the list does not depend on how many. Shows its
/// progress on `progress` if that takes long; nullptr: nowhere. Throws Error for a bad line, unless they are skipped,
/// and if there is no document.
DocumentList read_json_lines(const std::string& path, const DataSection& section, const DataContext& context,
                             std::FILE* progress = nullptr);

}  // namespace m2
