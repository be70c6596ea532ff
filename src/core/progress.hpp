// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>
#include <string_view>

namespace m2 {

/// "import  [=====>    ]  45%  103.2 GB of 230.1 GB  1.9 GB/s  1:07 left"; `bar_width` 0 leaves the bar out. The unit
/// "B" is written with decimal prefixes, any other one, such as "tokens", is written out. `label` stands first, `note`
/// last.
std::string progress_text(std::string_view label, std::int64_t done, std::int64_t total, std::string_view unit,
                          double elapsed_seconds, int bar_width, std::string_view note = {});

/// Tells the user on stderr how far a long job is: a bar that is redrawn on a terminal, now and then a line elsewhere,
/// and nothing at all for a job that ends before anybody could wonder. add() may be called from many threads, as often
/// as one likes. Without `out` it only counts.
class Progress {
 public:
  Progress(std::string label, std::int64_t total, std::string unit, std::FILE* out = stderr);
  /// Ends the bar's line.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void add(std::int64_t amount);
  std::int64_t done() const { return done_.load(std::memory_order_relaxed); }

  /// Words that stand at the end of the line from now on: a rate of something else than what is counted.
  void set_note(std::string note);

  /// The last line is printed even if none was before.
  void print_at_end();

  double elapsed_seconds() const;

 private:
  void print(double elapsed_seconds);

  std::string label_;
  std::int64_t total_;
  std::string unit_;
  std::FILE* out_;
  bool is_terminal_;
  std::chrono::steady_clock::time_point start_;
  std::atomic<std::int64_t> done_{0};
  std::atomic<double> next_print_seconds_;
  std::mutex mutex_;
  std::string note_;
  bool printed_ = false;
};

}  // namespace m2
