// SPDX-License-Identifier: Apache-2.0
#include "io/json_lines.hpp"

#include <span>
#include <utility>

#include "core/error.hpp"
#include "io/line_reader.hpp"
#include "io/strict_json.hpp"

namespace m2 {

JsonLinesReader::JsonLinesReader(const std::string& path) : lines_(std::make_unique<LineReader>(path)) {}
JsonLinesReader::~JsonLinesReader() = default;
JsonLinesReader::JsonLinesReader(JsonLinesReader&&) noexcept = default;

std::optional<nlohmann::json> JsonLinesReader::next() {
  while (const auto line = lines_->next()) {
    line_ = *line;
    if (!is_blank(line_)) return parse_strict_json(line_, where());
  }
  return std::nullopt;
}

std::string JsonLinesReader::where() const { return lines_->where(); }

JsonLinesWriter::JsonLinesWriter(const std::string& path) : file_(path, File::Mode::append) {
  if (file_.size_bytes() > 0) file_.resize(0);  // a pipe has no size and cannot be cut
}

JsonLinesWriter::JsonLinesWriter(File file, std::uint64_t size_bytes, std::int64_t num_lines)
    : file_(std::move(file)), size_bytes_(size_bytes), num_lines_(num_lines) {}

JsonLinesWriter JsonLinesWriter::resume(const std::string& path,
                                        const std::function<void(const nlohmann::json&)>& visit) {
  File file(path, File::Mode::append);
  LineReader lines(path);
  std::uint64_t whole_bytes = 0;
  std::int64_t num_lines = 0;
  std::string broken;
  while (const auto line = lines.next()) {
    M2_REQUIRE(broken.empty(),
               "{}: an interrupted job can only break its last line; move the file away or start a new one", broken);
    if (!lines.had_newline()) break;
    nlohmann::json value;
    try {
      if (!is_blank(*line)) value = parse_strict_json(*line, lines.where());
    } catch (const Error& error) {
      broken = error.what();
      continue;
    }
    whole_bytes = lines.end_offset();
    if (is_blank(*line)) continue;
    visit(value);
    ++num_lines;
  }
  if (file.size_bytes() > whole_bytes) file.resize(whole_bytes);
  return {std::move(file), whole_bytes, num_lines};
}

void JsonLinesWriter::write(std::string_view json) {
  const std::string line = std::string(json) + '\n';
  try {
    file_.append(std::as_bytes(std::span(line)));
  } catch (const Error&) {
    if (file_.size_bytes() > size_bytes_) file_.resize(size_bytes_);
    throw;
  }
  size_bytes_ += line.size();
  ++num_lines_;
}

}  // namespace m2
