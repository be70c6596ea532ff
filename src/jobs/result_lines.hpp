// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "comm/mpi/mailbox.hpp"
#include "jobs/output_lines.hpp"

namespace m2 {

/// A line of output.file before it is written.
struct ResultLine {
  std::int64_t index = 0;       ///< of the prompt in the input
  std::int64_t num_tokens = 0;  ///< generated or scored
  double nll = 0.0;             ///< of the score job: -sum of ln p
  std::string text;             ///< JSON, without the line's end
};

/// The result lines of all ranks in one file: rank 0 writes them in the order of the input, each as soon as all before
/// it are there. Construction and finish() are collective.
class ResultLines {
 public:
  using OnLine = std::function<void(const ResultLine& line)>;

  /// As OutputLines, on rank 0. There `on_line` sees each line that is new, when it is written, in the file's order;
  /// `on_tokens` counts what ranks did meanwhile.
  ResultLines(Communicator& world, const OutputSection& output, std::span<const Prompt> inputs,
              std::string_view tokens_key, const std::function<void(const nlohmann::json&)>& visit, OnLine on_line,
              std::function<void(std::int64_t num_tokens)> on_tokens = {});

  /// Lines of an earlier run, the same on every rank: the index of the first prompt that is left.
  std::int64_t first() const { return first_; }

  /// Hands in a line of this rank.
  void write(const ResultLine& line);
  /// Hands in progress of this rank: tokens generated or scored.
  void add_tokens(std::int64_t num_tokens);

  /// To be called after each pass: rank 0 takes what arrived and writes it.
  void poll();

  /// Collective. Writes what is still under way and returns when everything is on the disk. Lines whose predecessors
  /// are missing, because the job was stopped, are left out.
  void finish();

 private:
  void take(const std::vector<std::string>& messages);

  Communicator& world_;
  std::optional<OutputLines> lines_;  // on rank 0
  std::int64_t first_ = 0;
  std::int64_t next_ = 0;
  std::map<std::int64_t, ResultLine> waiting_;
  OnLine on_line_;
  std::function<void(std::int64_t)> on_tokens_;
  Mailbox mailbox_;
};

}  // namespace m2
