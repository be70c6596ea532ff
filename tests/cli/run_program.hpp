// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>
#include <string>
#include <vector>

namespace m2::test {

/// How a program ended.
struct ProgramResult {
  int exit_code = 0;  ///< 128 + n if signal n killed it
  std::string out;
  std::string err;
  long peak_resident_bytes = 0;
};

/// A program of this build that runs in a process of its own, its output caught in files of `scratch_folder`.
class Program {
 public:
  Program(const std::string& name, const std::vector<std::string>& arguments, const std::string& scratch_folder);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void signal(int number) const;
  ProgramResult wait();

 private:
  std::string out_path_, err_path_;
  pid_t process_ = -1;
};

/// Runs a program of this build to its end.
ProgramResult run_program(const std::string& name, const std::vector<std::string>& arguments,
                          const std::string& scratch_folder);

}  // namespace m2::test
