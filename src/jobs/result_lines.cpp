// SPDX-License-Identifier: Apache-2.0
#include "jobs/result_lines.hpp"

#include <array>
#include <cstring>
#include <utility>

namespace m2 {
namespace {

// What stands before the text of a message. Progress alone has no index.
struct Header {
  std::int64_t index, num_tokens;
  double nll;
};
constexpr std::int64_t kProgress = -1;

std::string message_of(const Header& header, std::string_view text) {
  std::string message(sizeof(header), '\0');
  std::memcpy(message.data(), &header, sizeof(header));
  return message.append(text);
}

}  // namespace

ResultLines::ResultLines(Communicator& world, const OutputSection& output, std::span<const Prompt> inputs,
                         std::string_view tokens_key, const std::function<void(const nlohmann::json&)>& visit,
                         OnLine on_line, std::function<void(std::int64_t num_tokens)> on_tokens)
    : world_(world), on_line_(std::move(on_line)), on_tokens_(std::move(on_tokens)), mailbox_(world) {
  if (world.rank() == 0) lines_.emplace(output, inputs, tokens_key, visit);
  const std::array<std::int64_t, 1> here{lines_ ? lines_->num_lines() : 0};
  first_ = next_ = world.max_values(here)[0];
}

void ResultLines::write(const ResultLine& line) {
  mailbox_.send(message_of({line.index, line.num_tokens, line.nll}, line.text));
}

void ResultLines::add_tokens(std::int64_t num_tokens) {
  if (num_tokens > 0) mailbox_.send(message_of({kProgress, num_tokens, 0.0}, ""));
}

void ResultLines::poll() { take(mailbox_.poll()); }

void ResultLines::finish() {
  take(mailbox_.drain());
  if (lines_) lines_->finish();
  world_.barrier();  // nobody says "done" before the file is
}

void ResultLines::take(const std::vector<std::string>& messages) {
  for (const std::string& message : messages) {
    Header header{};
    std::memcpy(&header, message.data(), sizeof(header));
    if (header.index == kProgress) {
      if (on_tokens_) on_tokens_(header.num_tokens);
      continue;
    }
    waiting_[header.index] = {header.index, header.num_tokens, header.nll, message.substr(sizeof(header))};
  }
  while (!waiting_.empty() && waiting_.begin()->first == next_) {
    const ResultLine& line = waiting_.begin()->second;
    lines_->write(line.text);
    if (on_line_) on_line_(line);
    waiting_.erase(waiting_.begin());
    ++next_;
  }
}

}  // namespace m2
