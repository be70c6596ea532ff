// SPDX-License-Identifier: Apache-2.0
#include "train/data/document_list.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "checkpoint/background_tasks.hpp"
#include "core/error.hpp"
#include "core/progress.hpp"
#include "core/stop_signal.hpp"
#include "io/line_reader.hpp"
#include "train/data/line_parser.hpp"

namespace m2 {
namespace {

// Lines that are handed to the threads together: enough to keep them busy, few enough to hear a signal.
constexpr std::size_t kMaxBatchLines = 4096;
constexpr std::size_t kMaxBatchBytes = std::size_t{4} << 20;

struct Line {
  std::string text;
  std::int64_t number;
};

struct Parsed {
  std::vector<Document> documents;
  std::string error;
};

// The next lines that are not blank; empty at the end.
std::vector<Line> next_lines(LineReader& reader, std::int64_t& number) {
  std::vector<Line> lines;
  std::size_t bytes = 0;
  while (lines.size() < kMaxBatchLines && bytes < kMaxBatchBytes) {
    const auto line = reader.next();
    if (!line) break;
    ++number;
    if (is_blank(*line)) continue;
    lines.push_back({std::string(*line), number});
    bytes += line->size();
  }
  return lines;
}

std::vector<Parsed> parse_lines(const std::vector<Line>& lines, const std::string& path, const LineParser& parser) {
  std::vector<Parsed> parsed(lines.size());
  parallel_tasks(lines.size(), num_io_threads(), [&](std::size_t i) {
    try {
      parsed[i].documents = parser.parse(lines[i].text, fmt::format("{}:{}", path, lines[i].number));
    } catch (const Error& error) {
      parsed[i].error = error.what();
    }
  });
  return parsed;
}

void append(DocumentList& list, const Document& document, std::int64_t line) {
  if (document.tokens.empty()) {
    ++list.counts.empty;
    return;
  }
  list.tokens.insert(list.tokens.end(), document.tokens.begin(), document.tokens.end());
  list.labels.insert(list.labels.end(), document.labels.begin(), document.labels.end());
  list.ends.push_back(std::ssize(list.tokens));
  list.lines.push_back(line);
}

std::int64_t file_bytes(const std::string& path) {
  std::error_code ignored;  // a pipe has no size
  const auto bytes = std::filesystem::file_size(path, ignored);
  return ignored ? 0 : std::int64_t(bytes);
}

}  // namespace

DocumentList read_json_lines(const std::string& path, const DataSection& section, const DataContext& context,
                             std::FILE* progress_file) {
  const LineParser parser(section, context);
  LineReader reader(path);
  Progress progress(path, file_bytes(path), "B", progress_file);
  DocumentList list;
  std::int64_t number = 0;
  std::uint64_t done_bytes = 0;
  for (auto lines = next_lines(reader, number); !lines.empty(); lines = next_lines(reader, number)) {
    throw_if_stop_requested();
    const std::vector<Parsed> parsed = parse_lines(lines, path, parser);
    for (std::size_t i = 0; i < parsed.size(); ++i) {
      const auto& [documents, error] = parsed[i];
      ++list.counts.lines;
      M2_REQUIRE(error.empty() || section.on_bad_line == OnBadLine::skip,
                 "{} (data.on_bad_line: skip leaves such lines out)", error);
      if (!error.empty() && list.counts.bad_lines++ == 0) list.first_bad_line = error;
      for (const Document& document : documents) append(list, document, lines[i].number);
    }
    progress.add(std::int64_t(reader.end_offset() - done_bytes));
    done_bytes = reader.end_offset();
  }
  M2_REQUIRE(list.counts.lines > 0, "{}: the file has no lines; expected JSON Lines of training data", path);
  M2_REQUIRE(!list.ends.empty(), "{}: there is no document in {} lines{}{}", path, list.counts.lines,
             list.first_bad_line.empty() ? "" : ", of which the first bad one is ", list.first_bad_line);
  return list;
}

}  // namespace m2
