// SPDX-License-Identifier: Apache-2.0
// The scripts of inputs/slurm under a real Slurm. Run it as `tests/slurm/cluster.sh PROGRAM`, or by ctest.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "cli/shell.hpp"
#include "io/temporary_folder.hpp"
#include "slurm/batch_job.hpp"

namespace m2::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int kRanks = 2;

const std::string kDemo = M2_SOURCE_DIR "/inputs/demo";
const std::string kModel = " model.checkpoint=" + kDemo + "/checkpoint";

std::size_t num_lines(const std::string& path) {
  const std::string text = read_bytes(path);
  return std::size_t(std::ranges::count(text, '\n'));
}

class Slurm : public ::testing::Test {
 protected:
  void SetUp() override {
    // Never the Slurm of a cluster on which this happens to be compiled.
    if (!std::getenv("M2_TEST_SLURM")) GTEST_SKIP() << "skipped: start it with tests/slurm/cluster.sh";
  }

  std::string settings(const std::string& deck, const std::string& keys) const {
    return "DECK=" + kDemo + "/" + deck + ".yaml EXTRA='" + keys + kModel + "'";
  }

  // The result of m2 itself, on one rank and without Slurm.
  std::string direct(const std::string& deck, const std::string& keys) const {
    const std::string file = folder_ / "direct.jsonl";
    const Outcome outcome = run("OMP_NUM_THREADS=2 " + m2_program() + " " + kDemo + "/" + deck + ".yaml " + keys +
                                kModel + " output.file=" + file);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return read_bytes(file);
  }

  // The demo's prompts over and over, each with an id of its own.
  void write_prompts(const std::string& name, int count) const {
    const auto prompts = json_lines(read_bytes(kDemo + "/prompts.jsonl"));
    std::string text;
    for (int i = 0; i < count; ++i) {
      auto prompt = prompts[std::size_t(i) % prompts.size()];
      prompt["id"] = i;
      text += prompt.dump() + "\n";
    }
    write_bytes(folder_ / name, text);
  }

  static constexpr std::size_t kPrompts = 120;

  // Of a job that has kPrompts to generate.
  std::string long_job() const {
    write_prompts("prompts.jsonl", kPrompts);
    return " prompts.file=" + folder_ / "prompts.jsonl" + " batch.max_sequences=2";
  }

  // Waits until a job has written some lines of text.jsonl.
  void wait_for_lines() const {
    for (int i = 0; i < 600 && num_lines(folder_ / "text.jsonl") < 5; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }

  // A program m2, or another one, that is a few lines of shell; returns the setting that makes a job use it.
  std::string stand_in(const std::string& lines, const std::string& name = "m2") const {
    write_bytes(folder_ / name, "#!/bin/bash\n" + lines + "\n");
    ::chmod((folder_ / name).c_str(), 0755);
    return "M2_BIN=" + folder_.path();
  }

  TemporaryFolder folder_;
};

void expect_done(const BatchJob& job) {
  const JobState state = job.wait();
  EXPECT_EQ(state.name, "COMPLETED") << job.log();
  EXPECT_EQ(state.exit_code, "0:0");
}

TEST_F(Slurm, GeneratedTextEqualsTheDirectRun) {
  const std::string prompts = " prompts.file=" + kDemo + "/prompts.jsonl";
  const BatchJob job(folder_.path(), "generate", kRanks, settings("batch", prompts + " output.file=text.jsonl"));
  expect_done(job);
  EXPECT_EQ(read_bytes(folder_ / "text.jsonl"), direct("batch", prompts));
  EXPECT_THAT(job.log(), HasSubstr("start 0: " + std::to_string(kRanks) + " ranks"));
}

TEST_F(Slurm, ScoresEqualTheDirectRun) {
  const std::string texts = " data.file=" + kDemo + "/texts.jsonl";
  expect_done(BatchJob(folder_.path(), "score", kRanks, settings("score", texts + " output.file=scores.jsonl")));
  EXPECT_EQ(read_bytes(folder_ / "scores.jsonl"), direct("score", texts));
}

TEST_F(Slurm, ConversionEqualsADirectOne) {
  const BatchJob job(folder_.path(), "convert", kRanks, "HF_DIR=" + kDemo + "/checkpoint CHECKPOINT=job.h5");
  expect_done(job);
  const std::size_t done = job.log().find("job.h5: ");
  EXPECT_TRUE(done != std::string::npos && done == job.log().rfind("job.h5: ")) << "one conversion:\n" << job.log();
  const Outcome import = run(m2_convert_program() + " import " + kDemo + "/checkpoint " + folder_ / "direct.h5");
  ASSERT_EQ(import.code, 0) << import.err;
  const Outcome diff = run(m2_convert_program() + " diff " + folder_ / "job.h5" + " " + folder_ / "direct.h5");
  EXPECT_EQ(diff.code, 0) << diff.out << diff.err;
  EXPECT_THAT(diff.out + diff.err, HasSubstr("0 differences"));
}

TEST_F(Slurm, AWarnedJobGoesBackIntoTheQueueAndLosesNothing) {
  const std::string keys = long_job();
  const BatchJob job(folder_.path(), "generate", kRanks, settings("batch", keys + " output.file=text.jsonl"));
  wait_for_lines();
  job.send("USR1");
  EXPECT_EQ(job.wait_for_restart().restarts, 1) << job.log();
  const std::size_t when_stopped = num_lines(folder_ / "text.jsonl");
  EXPECT_GE(when_stopped, 5u) << job.log();
  EXPECT_LT(when_stopped, kPrompts) << "the job was over before it was warned";
  expect_done(job);
  EXPECT_EQ(read_bytes(folder_ / "text.jsonl"), direct("batch", keys));
  EXPECT_THAT(job.log(), AllOf(HasSubstr("goes back into the queue"), HasSubstr("start 1: "),
                               HasSubstr(" for " + std::to_string(kPrompts - when_stopped) + " prompts in ")));
}

// The script's own request. Slurm warns two minutes before the third one ends, up to half a minute late. (With a limit
// of two minutes it may warn ranks that are still being started, and they die of it.)
TEST_F(Slurm, SlurmWarnsEveryRankBeforeTheTimeIsOver) {
  const std::string program = stand_in(
      "[ -z \"$SLURM_RESTART_COUNT\" ] || exit 0\n"
      "trap 'echo warned >>'$SLURM_PROCID'; exit 75' USR1\n"
      "for i in {1..160}; do sleep 1; done\n"
      "exit 1");
  const BatchJob job(folder_.path(), "generate", 2, program, "--time=3");
  expect_done(job);
  EXPECT_EQ(job.state().restarts, 1);
  for (const std::string rank : {"0", "1"}) EXPECT_EQ(read_bytes(folder_ / rank), "warned\n") << rank;
  const std::string score = read_bytes(std::string(M2_SOURCE_DIR) + "/inputs/slurm/score.sbatch");
  EXPECT_THAT(score, HasSubstr("\n#SBATCH --signal=USR1@120\n")) << "as in generate.sbatch";
}

TEST_F(Slurm, APreemptedJobGoesOnWhereItWas) {
  const std::string keys = long_job();
  const BatchJob job(folder_.path(), "generate", kRanks, settings("batch", keys + " output.file=text.jsonl"));
  wait_for_lines();
  job.requeue();
  EXPECT_LT(num_lines(folder_ / "text.jsonl"), kPrompts);
  EXPECT_EQ(job.wait_for_restart().restarts, 1) << job.log();
  expect_done(job);
  EXPECT_EQ(read_bytes(folder_ / "text.jsonl"), direct("batch", keys));
}

TEST_F(Slurm, OneOfAnArrayGoesBackAloneAndItsSlowRankIsWaitedFor) {
  const std::string program = stand_in(
      "[ $SLURM_PROCID != 0 ] || echo \"$SLURM_ARRAY_TASK_ID: $*\" >>calls\n"
      "[ $SLURM_ARRAY_TASK_ID = 4 ] && [ -z \"$SLURM_RESTART_COUNT\" ] || exit 0\n"
      "sleep $((2 * SLURM_PROCID))\n"
      "exit 75");
  // Task 4 is the last one, and its job number that of the whole array.
  const BatchJob job(folder_.path(), "generate", 2, program + " DECK=x.yaml", "--array=3-4");
  expect_done(job);
  const std::string arguments = ": x.yaml output.resume=true prompts.file=prompts.";
  const std::string three = "3" + arguments + "3.jsonl output.file=generated.3.jsonl\n";
  const std::string four = "4" + arguments + "4.jsonl output.file=generated.4.jsonl\n";
  EXPECT_THAT(read_bytes(folder_ / "calls"), ::testing::AnyOf(three + four + four, four + three + four));
}

TEST_F(Slurm, AJobThatIsAlwaysStoppedEndsAfterMaxRestarts) {
  const BatchJob job(folder_.path(), "score", 1, stand_in("exit 75") + " MAX_RESTARTS=1");
  const JobState state = job.wait();
  EXPECT_EQ(state.restarts, 1);
  EXPECT_EQ(state.name, "FAILED");
  EXPECT_EQ(state.exit_code, "75:0");
}

TEST_F(Slurm, RanksGetTheirThreadsAndTheirGpu) {
  const std::string program =
      stand_in("echo \"$* $OMP_NUM_THREADS $OMP_PROC_BIND $OMP_PLACES $CUDA_VISIBLE_DEVICES\" >$SLURM_PROCID");
  expect_done(BatchJob(folder_.path(), "generate", 2, program, "--cpus-per-task=2 --gpus-per-task=1"));
  // The threads are not bound, because this Slurm binds no ranks.
  EXPECT_EQ(read_bytes(folder_ / "0"), "generate.yaml output.resume=true 2 false cores 0\n");
  EXPECT_EQ(read_bytes(folder_ / "1"), "generate.yaml output.resume=true 2 false cores 1\n");
  const std::string convert = stand_in("echo \"$* $OMP_NUM_THREADS $OMP_PROC_BIND $OMP_PLACES\" >done", "m2-convert");
  expect_done(BatchJob(folder_.path(), "convert", 1, convert + " HF_DIR=in CHECKPOINT=out", "--cpus-per-task=2"));
  EXPECT_EQ(read_bytes(folder_ / "done"), "import in out 2 false cores\n");
}

// A failed job: state, exit code, and the last line of its log.
void expect_failed(const BatchJob& job, const std::string& exit_code, const std::string& cause) {
  const JobState state = job.wait();
  EXPECT_EQ(state.name, "FAILED") << job.log();
  EXPECT_EQ(state.exit_code, exit_code);
  EXPECT_EQ(state.restarts, 0);
  EXPECT_THAT(job.last_line_of_log(), AllOf(HasSubstr(" FAILED with exit code "), HasSubstr(cause))) << job.log();
}

// One that was killed just now: the job's end must come soon.
void expect_failed_soon(const BatchJob& job, const std::string& exit_code, const std::string& cause) {
  const auto begin = std::chrono::steady_clock::now();
  expect_failed(job, exit_code, cause);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10)) << job.log();
}

TEST_F(Slurm, TheLogOfAFailedJobEndsWithTheCause) {
  const std::string folder = folder_.path();
  expect_failed(BatchJob(folder, "generate", kRanks, settings("batch", "sampling.sed=7 output.file=x.jsonl")), "2:0",
                "unknown key 'sampling.sed'; did you mean 'sampling.seed'?");
  const std::string no_checkpoint =
      "DECK=" + kDemo + "/score.yaml EXTRA='output.file=x.jsonl model.checkpoint=none.h5'";
  expect_failed(BatchJob(folder, "score", kRanks, no_checkpoint), "1:0", "none.h5");
  expect_failed(BatchJob(folder, "convert", kRanks, "HF_DIR=none CHECKPOINT=x.h5"), "1:0",
                "'none' does not exist; expected an HDF5 checkpoint or a Hugging Face folder");
}

TEST_F(Slurm, SigtermEndsTheJobForGood) {
  const BatchJob job(folder_.path(), "generate", kRanks, settings("batch", long_job() + " output.file=text.jsonl"));
  wait_for_lines();
  job.send("TERM");
  expect_failed(job, "143:0", "");
  EXPECT_TRUE(read_bytes(folder_ / "text.jsonl").ends_with("}\n"));
}

TEST_F(Slurm, AKilledRankEndsTheJobAndTheLastLineSaysWhich) {
  const BatchJob job(folder_.path(), "generate", kRanks, settings("batch", long_job() + " output.file=text.jsonl"));
  wait_for_lines();
  const Outcome killed = run("kill -KILL $(pgrep -n -f '^" + m2_program() + ".*" + folder_ / "prompts.jsonl')");
  EXPECT_EQ(killed.code, 0) << killed.err;
  expect_failed_soon(job, "137:0", ": Killed");
}

// One that is not, or no longer, in MPI: nobody tells Slurm's PMIx.
TEST_F(Slurm, ARankThatIsKilledOutsideMpiEndsTheJob) {
  for (const std::string script : {"generate", "score", "convert"}) {
    const std::string name = script == "convert" ? "m2-convert" : "m2";
    const std::string program = stand_in("[ $SLURM_PROCID = 0 ] || kill -KILL $$\necho >begun\nsleep 60", name);
    const BatchJob job(folder_.path(), script, 2, program);
    for (int i = 0; i < 600 && !std::filesystem::exists(folder_ / "begun"); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    // convert.sbatch lets Slurm end the other rank, whose 143 is the highest code then.
    expect_failed_soon(job, script == "convert" ? "143:0" : "137:0", "task 1: Killed");
    std::filesystem::remove(folder_ / "begun");
  }
}

TEST_F(Slurm, RanksThatCouldNotBeStartedAreNoSuccess) {
  const std::string error = "srun: error: task 0 launch failed: Unspecified error";
  for (const std::string script : {"generate", "score", "convert"}) {
    const BatchJob job(folder_.path(), script, 1, stand_in("echo '" + error + "' >&2; exit 0", "srun"));
    expect_failed(job, "1:0", error);
  }
}

}  // namespace
}  // namespace m2::test
