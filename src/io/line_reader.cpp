// SPDX-License-Identifier: Apache-2.0
#include "io/line_reader.hpp"

#include <fmt/format.h>

#include <span>

namespace m2 {
namespace {

constexpr std::size_t kReadBytes = std::size_t{1} << 18;

}  // namespace

std::optional<std::string_view> LineReader::next() {
  begin_ += line_bytes_;
  std::size_t newline = buffer_.find('\n', begin_);
  while (newline == std::string::npos) {
    const std::size_t searched = buffer_.size() - begin_;
    if (!refill()) break;
    newline = buffer_.find('\n', searched);
  }
  had_newline_ = newline != std::string::npos;
  line_bytes_ = had_newline_ ? newline + 1 - begin_ : buffer_.size() - begin_;
  if (line_bytes_ == 0) return std::nullopt;
  ++number_;
  end_offset_ += line_bytes_;
  return std::string_view(buffer_).substr(begin_, line_bytes_ - (had_newline_ ? 1 : 0));
}

std::string LineReader::where() const { return fmt::format("{}:{}", file_.path(), number_); }

bool LineReader::refill() {
  buffer_.erase(0, begin_);
  begin_ = 0;
  const std::size_t old_size = buffer_.size();
  buffer_.resize(old_size + kReadBytes);
  const std::size_t count = file_.read_some(std::as_writable_bytes(std::span(buffer_).subspan(old_size)));
  buffer_.resize(old_size + count);
  return count > 0;
}

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

}  // namespace m2
