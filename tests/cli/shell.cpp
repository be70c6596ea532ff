// SPDX-License-Identifier: Apache-2.0
#include "cli/shell.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "io/temporary_folder.hpp"

namespace m2::test {

Outcome run(const std::string& command) {
  const std::string stem = std::filesystem::temp_directory_path() / ("m2." + std::to_string(::getpid()) + ".shell");
  const std::string out = stem + ".out", err = stem + ".err";
  const int status = std::system(("( " + command + " ) </dev/null >" + out + " 2>" + err).c_str());
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  Outcome outcome{code, read_bytes(out), read_bytes(err)};
  std::erase(outcome.err, '\0');  // Open MPI ends its paragraphs with one, where regular expressions would stop
  std::filesystem::remove(out);
  std::filesystem::remove(err);
  return outcome;
}

std::string m2_program() { return M2_BINARY_DIR "/m2"; }
std::string m2_convert_program() { return M2_BINARY_DIR "/m2-convert"; }

std::vector<nlohmann::ordered_json> json_lines(const std::string& text) {
  std::vector<nlohmann::ordered_json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::ordered_json::parse(line));
  return lines;
}

}  // namespace m2::test
