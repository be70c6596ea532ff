// SPDX-License-Identifier: Apache-2.0
#include "core/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "core/byte_size.hpp"

namespace m2 {
namespace {

// A terminal is redrawn a few times a second; a log file gets a line now and then.
constexpr double kTerminalIntervalSeconds = 0.2;
constexpr double kLogIntervalSeconds = 10;
constexpr int kBarWidth = 24;

std::string amount_text(double amount, std::string_view unit) {
  if (unit == "B") return byte_size_text(std::uint64_t(std::max(amount, 0.0)));
  return fmt::format("{:.0f} {}", amount, unit);
}

std::string duration_text(double duration_seconds) {
  const auto seconds = std::int64_t(duration_seconds + 0.5);
  if (seconds >= 3600) return fmt::format("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
  return fmt::format("{}:{:02}", seconds / 60, seconds % 60);
}

std::string bar_text(double fraction, int width) {
  const int filled = int(fraction * width);
  std::string bar(std::size_t(width), ' ');
  std::fill_n(bar.begin(), filled, '=');
  if (filled < width) bar[std::size_t(filled)] = '>';
  return "  [" + bar + "]";
}

}  // namespace

std::string progress_text(std::string_view label, std::int64_t done, std::int64_t total, std::string_view unit,
                          double elapsed_seconds, int bar_width, std::string_view note) {
  const double fraction = total > 0 ? std::clamp(double(done) / double(total), 0.0, 1.0) : 1.0;
  std::string text(label);
  if (bar_width > 0) text += bar_text(fraction, bar_width);
  text += fmt::format("  {:3.0f}%  {} of {}", 100 * fraction, amount_text(double(done), unit),
                      amount_text(double(total), unit));
  if (elapsed_seconds > 0 && done > 0) {
    const double rate = double(done) / elapsed_seconds;
    text += fmt::format("  {}/s", amount_text(rate, unit));
    text += done >= total ? fmt::format("  in {}", duration_text(elapsed_seconds))
                          : fmt::format("  {} left", duration_text(double(total - done) / rate));
  }
  if (!note.empty()) text += fmt::format("  {}", note);
  return text;
}

Progress::Progress(std::string label, std::int64_t total, std::string unit, std::FILE* out)
    : label_(std::move(label)),
      total_(total),
      unit_(std::move(unit)),
      out_(out),
      is_terminal_(out != nullptr && ::isatty(::fileno(out)) == 1),
      start_(std::chrono::steady_clock::now()),
      next_print_seconds_(is_terminal_ ? kTerminalIntervalSeconds : kLogIntervalSeconds) {}

Progress::~Progress() {
  const std::lock_guard lock(mutex_);
  if (!printed_) return;
  print(elapsed_seconds());
  if (is_terminal_) std::fputc('\n', out_);
}

void Progress::add(std::int64_t amount) {
  done_.fetch_add(amount, std::memory_order_relaxed);
  if (out_ == nullptr) return;
  const double elapsed = elapsed_seconds();
  if (elapsed < next_print_seconds_.load(std::memory_order_relaxed)) return;
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock || elapsed < next_print_seconds_.load(std::memory_order_relaxed)) return;
  print(elapsed);
  next_print_seconds_ = elapsed + (is_terminal_ ? kTerminalIntervalSeconds : kLogIntervalSeconds);
}

void Progress::set_note(std::string note) {
  const std::lock_guard lock(mutex_);
  note_ = std::move(note);
}

void Progress::print_at_end() {
  const std::lock_guard lock(mutex_);
  printed_ = out_ != nullptr;
}

double Progress::elapsed_seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void Progress::print(double elapsed_seconds) {
  const std::string text = progress_text(label_, done_.load(std::memory_order_relaxed), total_, unit_, elapsed_seconds,
                                         is_terminal_ ? kBarWidth : 0, note_);
  // Carriage return and "erase to the end of the line": the next bar may be shorter.
  std::fputs((is_terminal_ ? "\r" + text + "\x1b[K" : text + "\n").c_str(), out_);
  std::fflush(out_);
  printed_ = true;
}

}  // namespace m2
