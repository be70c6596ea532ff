// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace m2::test {

/// What a line of shell left behind.
struct Outcome {
  int code;  ///< exit code of the last program; 128 + signal if one ended it
  std::string out, err;
};

/// Runs a line of shell, without a terminal: for environments, limits and redirections; else run_program() will do.
Outcome run(const std::string& command);

/// The paths of the programs under test.
std::string m2_program();
std::string m2_convert_program();

/// The values of JSON Lines.
std::vector<nlohmann::ordered_json> json_lines(const std::string& text);

}  // namespace m2::test
