// SPDX-License-Identifier: Apache-2.0
#include "cli/shell.hpp"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "io/temporary_folder.hpp"

namespace m2::test {

Outcome run(const std::string& command, int limit_seconds) {
  const std::string stem = std::filesystem::temp_directory_path() / ("m2." + std::to_string(::getpid()) + ".shell");
  const std::string script = stem + ".sh", out = stem + ".out", err = stem + ".err";
  write_bytes(script, command + "\n");  // so that `timeout` need not be given it in quotes
  const auto begin = std::chrono::steady_clock::now();
  const int status = std::system(
      fmt::format("exec timeout --kill-after=10 {} sh {} </dev/null >{} 2>{}", limit_seconds, script, out, err)
          .c_str());
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  Outcome outcome{code, read_bytes(out), read_bytes(err), seconds};
  std::erase(outcome.err, '\0');  // Open MPI ends its paragraphs with one, where regular expressions would stop
  std::filesystem::remove(script);
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
