// SPDX-License-Identifier: Apache-2.0
#include "slurm/batch_job.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <regex>
#include <thread>

#include "cli/shell.hpp"
#include "io/temporary_folder.hpp"

namespace m2::test {
namespace {

// The value of a key in the output of `scontrol --oneliner show job`: "JobId=1 JobName=x ...".
std::string value_of(const std::string& key, const std::string& text) {
  std::smatch match;
  return std::regex_search(text, match, std::regex("\\b" + key + "=(\\S*)")) ? match[1].str() : "";
}

JobState poll(const BatchJob& job, const std::function<bool(const JobState&)>& reached) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(4);
  JobState state = job.state();
  while (!reached(state) && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    state = job.state();
  }
  EXPECT_TRUE(reached(state)) << "after four minutes the job is " << state.name << "; its log:\n" << job.log();
  return state;
}

}  // namespace

BatchJob::BatchJob(const std::string& folder, const std::string& script, int num_ranks, const std::string& settings,
                   const std::string& options)
    : folder_(folder), script_(script) {
  // Shared memory alone: Open MPI warns of networks that a test machine does not have.
  const Outcome outcome =
      run("cd " + folder + " && export OMPI_MCA_btl=self,sm M2_BIN=" M2_BINARY_DIR " " + settings +
          " && sbatch --parsable --time=5 --nodes=1 --ntasks-per-node=" + std::to_string(num_ranks) +
          " --cpus-per-task=1 " + options + " " M2_SOURCE_DIR "/inputs/slurm/" + script + ".sbatch");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  id_ = outcome.out.substr(0, outcome.out.find_first_of(";\n"));
}

BatchJob::~BatchJob() { run("scancel --quiet " + id_); }

JobState BatchJob::state() const {
  const Outcome outcome = run("scontrol --oneliner show job " + id_);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return {value_of("JobState", outcome.out), value_of("ExitCode", outcome.out),
          std::atoi(value_of("Restarts", outcome.out).c_str())};
}

JobState BatchJob::wait() const {
  return poll(*this, [](const JobState& state) { return state.ended(); });
}

JobState BatchJob::wait_for_restart() const {
  return poll(*this, [](const JobState& state) { return state.restarts > 0 || state.ended(); });
}

void BatchJob::send(const std::string& signal) const {
  const Outcome outcome = run("scancel --signal=" + signal + " " + id_);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
}

void BatchJob::requeue() const {
  const Outcome outcome = run("scontrol requeue " + id_);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
}

std::string BatchJob::log() const { return read_bytes(folder_ + "/m2-" + script_ + "-" + id_ + ".log"); }

std::string BatchJob::last_line_of_log() const {
  const std::string text = log();
  if (text.empty()) return "";
  const std::size_t before = text.rfind('\n', text.size() - 2);
  return text.substr(before == std::string::npos ? 0 : before + 1);
}

}  // namespace m2::test
