// SPDX-License-Identifier: Apache-2.0
// The program m2 when something breaks: damaged checkpoints, full disks, signals.
#include <gmock/gmock.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "cli/run_program.hpp"
#include "cli/shell.hpp"
#include "io/temporary_folder.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;

const std::string kDemo = M2_SOURCE_DIR "/inputs/demo/checkpoint";

class M2Failure : public ::testing::Test {
 protected:
  M2Failure() {
    // One thread: these jobs are many tiny steps, and two threads would spend them waiting for one another.
    ::setenv("OMP_NUM_THREADS", "1", /*overwrite=*/1);
    for (int i = 0; i < 16; ++i) prompts_ += "{\"prompt\": \"The deck number " + std::to_string(i) + " is\"}\n";
    write_bytes(folder_ / "prompts.jsonl", prompts_);
    write_bytes(folder_ / "deck.yaml", "job: generate\nmodel:\n  checkpoint: " + kDemo +
                                           "\nprompts:\n  file: " + folder_ / "prompts.jsonl" +
                                           "\nsampling:\n  temperature: 0.8\n  max_new_tokens: 24\n  ignore_eos: true\n"
                                           "batch:\n  max_sequences: 1\n");
  }

  std::string command(const std::string& keys) const { return m2_program() + " " + folder_ / "deck.yaml" + " " + keys; }
  // What m2 says of a checkpoint it must refuse.
  std::string refusal(const std::string& checkpoint) const {
    const Outcome outcome = run(command("model.checkpoint=" + checkpoint));
    EXPECT_EQ(outcome.code, 1);
    EXPECT_EQ(outcome.out, "");
    return outcome.err;
  }
  std::string imported() const {
    const Outcome import = run(m2_convert_program() + " import " + kDemo + " " + folder_ / "demo.h5");
    EXPECT_EQ(import.code, 0) << import.err;
    return folder_ / "demo.h5";
  }

  TemporaryFolder folder_;
  std::string prompts_;
};

TEST_F(M2Failure, ForeignFilesAreRefused) {
  write_bytes(folder_ / "notes.h5", "these are notes\n");
  EXPECT_THAT(refusal(folder_ / "notes.h5"), HasSubstr(folder_ / "notes.h5"));
  EXPECT_THAT(refusal(folder_.path()), HasSubstr("config.json")) << "a folder without a checkpoint";
}

TEST_F(M2Failure, TruncatedFilesAreRefused) {
  const std::string file = imported();
  std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
  EXPECT_THAT(refusal(file), HasSubstr(file));

  std::filesystem::copy(kDemo, folder_ / "folder");
  const std::string shard = folder_ / "folder/model.safetensors";
  std::filesystem::resize_file(shard, std::filesystem::file_size(shard) - 1000);
  EXPECT_THAT(refusal(folder_ / "folder"), HasSubstr("model.safetensors"));
}

TEST_F(M2Failure, AnAlteredTensorIsRefusedByName) {
  const std::string file = imported();
  std::string bytes = read_bytes(file);
  bytes[bytes.size() / 2] ^= 1;  // weights fill all but the two ends of the file
  write_bytes(file, bytes);
  EXPECT_THAT(refusal(file), ::testing::ContainsRegex("m2: error: .*(layers/|embed_tokens|lm_head)"));
}

TEST_F(M2Failure, AFullDiskLeavesWholeLines) {
  const std::string out = folder_ / "out.jsonl";
  // The limit is in blocks of 512 or 1024 bytes, by shell: one to four lines fit.
  const Outcome outcome = run("ulimit -f 2; " + command("output.file=" + out));
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("m2: error: "));
  EXPECT_THAT(outcome.err, HasSubstr(out));
  const std::string written = read_bytes(out);
  EXPECT_TRUE(written.empty() || written.ends_with("\n"));
  EXPECT_LT(json_lines(written).size(), 16u);

  const Outcome to_full_device = run(command("") + " > /dev/full");
  EXPECT_EQ(to_full_device.code, 1);
  EXPECT_THAT(to_full_device.err, HasSubstr("m2: error: standard output: cannot write"));
}

// Starts the job and sends the signal when the first line is there.
ProgramResult interrupt(const TemporaryFolder& folder, const std::string& out, int signal) {
  Program program("m2", {folder / "deck.yaml", "output.file=" + out}, folder.path());
  const auto has_a_line = [&] { return std::filesystem::exists(out) && std::filesystem::file_size(out) > 0; };
  for (int i = 0; i < 10'000 && !has_a_line(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  program.signal(signal);
  return program.wait();
}

TEST_F(M2Failure, AnInterruptedJobLeavesWholeLinesAndGoesOn) {
  const Outcome whole = run(command("output.file=" + folder_ / "whole.jsonl"));
  ASSERT_EQ(whole.code, 0) << whole.err;
  const std::string expected = read_bytes(folder_ / "whole.jsonl");

  const std::string out = folder_ / "out.jsonl";
  const ProgramResult stopped = interrupt(folder_, out, SIGINT);
  EXPECT_EQ(stopped.exit_code, 128 + SIGINT);
  EXPECT_THAT(stopped.err, HasSubstr("m2: stopped by SIGINT (Ctrl-C)"));
  EXPECT_THAT(stopped.err, HasSubstr("output.resume=true"));
  const std::string written = read_bytes(out);
  EXPECT_TRUE(written.ends_with("\n"));
  EXPECT_LT(written.size(), expected.size()) << "the job was stopped before its end";
  EXPECT_TRUE(expected.starts_with(written));

  const Outcome resumed = run(command("output.resume=true output.file=" + out));
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(read_bytes(out), expected);
  EXPECT_EQ(run(command("output.resume=true output.file=" + out)).code, 0) << "nothing is left to do";
  EXPECT_EQ(read_bytes(out), expected);
}

TEST_F(M2Failure, SigtermStopsToo) {
  const ProgramResult stopped = interrupt(folder_, folder_ / "out.jsonl", SIGTERM);
  EXPECT_EQ(stopped.exit_code, 128 + SIGTERM) << "a handler ended it: no signal killed the process";
  EXPECT_THAT(stopped.err, HasSubstr("m2: stopped by SIGTERM"));
}

TEST_F(M2Failure, ResumingOtherPromptsIsRefused) {
  const std::string out = folder_ / "out.jsonl";
  const std::string other =
      "{\"id\":0,\"prompt_token_ids\":[1],\"token_ids\":[1],\"text\":\"\",\"finish_reason\":\"stop\"}\n";
  write_bytes(out, other);
  const Outcome outcome = run(command("output.resume=true output.file=" + out));
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr(out + ": line 1: 'prompt_token_ids' differs from the tokens of the input"));
  EXPECT_EQ(read_bytes(out), other);
}

}  // namespace
}  // namespace m2::test
