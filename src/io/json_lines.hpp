// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "io/file.hpp"

namespace m2 {

class LineReader;

/// Reads a file of one JSON value a line; lines may be of any length, blank ones are skipped. Throws Error as
/// "file:line: ..." for invalid JSON, invalid UTF-8, a key given twice and nesting deeper than 100.
class JsonLinesReader {
 public:
  explicit JsonLinesReader(const std::string& path);
  ~JsonLinesReader();
  JsonLinesReader(JsonLinesReader&&) noexcept;

  /// The next line's value; nothing at the end.
  std::optional<nlohmann::json> next();

  /// "file:line" of the last value, for messages about its content.
  std::string where() const;

  /// The last value's text, for readers to whom the order of its keys matters. Valid until the next call of next().
  std::string_view line() const { return line_; }

 private:
  std::unique_ptr<LineReader> lines_;
  std::string_view line_;
};

/// Writes one JSON value a line. A line is handed to the system whole when write() is called, so that an interrupted
/// job leaves whole lines; when that fails (a full disk), the file is cut back to its last whole line and Error is
/// thrown.
class JsonLinesWriter {
 public:
  /// Starts a new file, or empties the one there.
  explicit JsonLinesWriter(const std::string& path);

  /// Continues a file: a half-written last line is cut off, `visit` sees each whole one. A missing file is started.
  /// Throws Error for an invalid line before the last: then another program wrote it.
  static JsonLinesWriter resume(const std::string& path, const std::function<void(const nlohmann::json&)>& visit);

  /// `json`: one value, without the line's end.
  void write(std::string_view json);

  /// Lines in the file, those of an earlier job included.
  std::int64_t num_lines() const { return num_lines_; }

  /// Returns when everything is on the disk.
  void sync() const { file_.sync(); }

 private:
  JsonLinesWriter(File file, std::uint64_t size_bytes, std::int64_t num_lines);

  File file_;
  std::uint64_t size_bytes_ = 0;
  std::int64_t num_lines_ = 0;
};

}  // namespace m2
