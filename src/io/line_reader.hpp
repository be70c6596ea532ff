// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "io/file.hpp"

namespace m2 {

/// Cuts a file, or a pipe, into lines of any length.
class LineReader {
 public:
  explicit LineReader(const std::string& path) : file_(path, File::Mode::read) {}

  /// The next line without its '\n', valid until the next call; nothing at the end.
  std::optional<std::string_view> next();

  /// Whether the last line ended with '\n'; only the last of a file may lack it.
  bool had_newline() const { return had_newline_; }

  /// Bytes of the file up to the end of the last line, its '\n' included.
  std::uint64_t end_offset() const { return end_offset_; }

  /// "file:line" of the last line.
  std::string where() const;

 private:
  bool refill();

  File file_;
  std::string buffer_;
  std::size_t begin_ = 0;       // of the last line in buffer_
  std::size_t line_bytes_ = 0;  // of the last line, its '\n' included
  bool had_newline_ = false;
  std::uint64_t end_offset_ = 0;
  std::int64_t number_ = 0;
};

/// Whether a line has nothing but white space.
bool is_blank(std::string_view line);

}  // namespace m2
