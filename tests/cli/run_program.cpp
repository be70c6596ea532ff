// SPDX-License-Identifier: Apache-2.0
#include "cli/run_program.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace m2::test {
namespace {

std::string read_and_remove(const std::string& path) {
  std::ifstream file(path);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  ::unlink(path.c_str());
  return text;
}

}  // namespace

Program::Program(const std::string& name, const std::vector<std::string>& arguments,
                 const std::string& scratch_folder) {
  static std::atomic<int> count{0};
  const std::string stem = scratch_folder + "/program." + std::to_string(++count);
  out_path_ = stem + ".out";
  err_path_ = stem + ".err";
  std::vector<std::string> words{std::string(M2_BINARY_DIR) + "/" + name};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, out_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::posix_spawn_file_actions_addopen(&files, STDERR_FILENO, err_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const int error = ::posix_spawn(&process_, argv[0], &files, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&files);
  if (error != 0) throw std::runtime_error("cannot start " + words[0]);
}

Program::~Program() {
  if (process_ < 0) return;
  signal(SIGKILL);
  wait();
}

void Program::signal(int number) const { ::kill(process_, number); }

ProgramResult Program::wait() {
  int status = 0;
  rusage usage{};
  ::wait4(process_, &status, 0, &usage);
  process_ = -1;
  return {.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status),
          .out = read_and_remove(out_path_),
          .err = read_and_remove(err_path_),
          .peak_resident_bytes = usage.ru_maxrss * 1024};
}

ProgramResult run_program(const std::string& name, const std::vector<std::string>& arguments,
                          const std::string& scratch_folder) {
  return Program(name, arguments, scratch_folder).wait();
}

}  // namespace m2::test
