// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "config/deck.hpp"
#include "infer/prompts.hpp"
#include "io/json_lines.hpp"

namespace m2 {

/// Where a job's result lines go: output.file, or standard output.
class OutputLines {
 public:
  /// Starts the file anew or, with output.resume, goes on behind its whole lines: line i must have the id of inputs[i]
  /// and its tokens under `tokens_key`. Throws Error naming the line that does not. `visit`
  /// sees each line kept.
  OutputLines(const OutputSection& output, std::span<const Prompt> inputs, std::string_view tokens_key,
              const std::function<void(const nlohmann::json&)>& visit = {});

  /// Writes a line of JSON, given without its end. Throws Error when it cannot be written whole.
  void write(std::string_view line);

  /// Lines there are, those of an earlier run included.
  std::int64_t num_lines() const { return num_lines_; }

  /// Returns when everything is on the disk.
  void finish();

 private:
  std::optional<JsonLinesWriter> file_;
  std::int64_t num_lines_ = 0;
};

}  // namespace m2
