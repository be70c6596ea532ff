// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace m2::test {

/// What a line of shell left behind.
struct Outcome {
  int code;  ///< exit code of the last program; 128 + signal if one ended it; kTimedOut
  std::string out, err;
  double seconds;  ///< that it took
};

/// The code of a line that had to be ended because it took too long.
inline constexpr int kTimedOut = 124;

/// Runs a line of shell, without a terminal: for environments, limits and redirections; else run_program() will do.
/// After `limit_seconds` it is ended with all that it started.
Outcome run(const std::string& command, int limit_seconds = 240);

/// The paths of the programs under test.
std::string m2_program();
std::string m2_convert_program();

/// The values of JSON Lines.
std::vector<nlohmann::ordered_json> json_lines(const std::string& text);

}  // namespace m2::test
