// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "io/json_lines.hpp"
#include "train/trainer.hpp"

namespace m2 {

/// A step as a line of the metrics tells it, besides what the trainer says.
struct StepContext {
  std::int64_t step = 0;
  std::int64_t epoch = 0;
  double seconds = 0.0;       ///< the whole step: data, passes, optimizer; without saving and validation
  double data_seconds = 0.0;  ///< of it, waiting for data
  double flop = 0.0;          ///< training_flop() of the step
  std::optional<double> peak_flop_per_second = {};
  std::string sample_hash = {};  ///< of the samples' ids, hexadecimal: equal steps of two runs saw equal samples
};

nlohmann::ordered_json step_line(const StepContext& context, const StepReport& report);
nlohmann::ordered_json validation_line(std::int64_t step, const TrainingLoss& loss, double seconds);

/// The lines of a run, of earlier processes too: in output.file, if there is one, and in memory for the page.
class Metrics {
 public:
  /// Keeps the lines of `file` up to `last_step`: what came after the checkpoint that the run goes on from is computed
  /// again. Throws Error naming the line that no run wrote.
  Metrics(const std::optional<std::string>& file, std::int64_t last_step);

  void write(const nlohmann::ordered_json& line);

  const std::vector<nlohmann::ordered_json>& lines() const { return lines_; }

 private:
  std::vector<nlohmann::ordered_json> lines_;
  std::optional<JsonLinesWriter> file_;
};

}  // namespace m2
