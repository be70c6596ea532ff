// SPDX-License-Identifier: Apache-2.0
// No path that m2 writes may be one that it reads or writes elsewhere: refused before anything is touched.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>

#include "cli/folder_contents.hpp"
#include "cli/shell.hpp"

namespace m2::test {
namespace {

namespace fs = std::filesystem;

const std::string kTiny = M2_TEST_DATA "/tiny-f32";
constexpr const char* kNeeded = "it would be overwritten while it is needed";

// What a job reads and writes, as keys; inputs with a file that stands for them.
struct JobPaths {
  std::string job;
  std::string base;  // keys of every run
  std::vector<std::string> inputs, outputs;
};

const std::vector<JobPaths> kJobs{
    {"generate",
     "prompts.file=prompts.jsonl",
     {"model.config", "prompts.file", "parallel.placement", "the deck"},
     {"output.file", "output.expert_load"}},
    {"score",
     "data.file=prompts.jsonl",
     {"model.config", "data.file", "parallel.placement", "the deck"},
     {"output.file", "output.expert_load"}},
    {"bench", "", {"model.config", "parallel.placement", "the deck"}, {"output.file", "output.report"}}};

// Runs in a folder of its own, so that paths are short names.
class M2Paths : public ::testing::Test {
 protected:
  M2Paths() {
    fs::copy(kTiny, folder_ / "model");
    fs::copy(kTiny + "/config.json", folder_ / "config.json");
    write_bytes(folder_ / "model.h5", "not opened");
    write_bytes(folder_ / "prompts.jsonl", "{\"token_ids\": [1, 2]}\n");
    write_bytes(folder_ / "placement.json", "not opened");
    for (const JobPaths& paths : kJobs) write_bytes(folder_ / (paths.job + ".yaml"), "job: " + paths.job + "\n");
  }

  Outcome m2(const std::string& arguments) const {
    return run("cd '" + folder_.path() + "' && " + m2_program() + " " + arguments);
  }

  // The message alone, code 2, and no byte changed.
  void expect_refusal(const std::string& arguments, const std::string& message) const {
    const auto before = contents_of(folder_.path());
    const Outcome outcome = m2(arguments);
    EXPECT_EQ(outcome.code, 2) << arguments;
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.err, "m2: error: " + message + "\n") << arguments;
    EXPECT_TRUE(contents_of(folder_.path()) == before) << arguments;
  }

  // With each way to run the job.
  void expect_refusals(const std::string& arguments, const std::string& message) const {
    const bool may_resume = arguments.find("output.file=") != std::string::npos && !arguments.starts_with("bench");
    expect_refusal(arguments, message);
    expect_refusal(arguments + " --check", message);
    if (may_resume) expect_refusal(arguments + " output.resume=true", message);
  }

  static std::string file_of(const std::string& input, const std::string& job) {
    if (input == "model.config") return "config.json";
    if (input == "parallel.placement") return "placement.json";
    return input == "the deck" ? job + ".yaml" : "prompts.jsonl";
  }

  TemporaryFolder folder_;
};

// What makes two paths one file is tested in io; here each key is, and each spelling with one of them.
TEST_F(M2Paths, NoOutputIsAnInput) {
  fs::create_symlink("prompts.jsonl", folder_ / "link");
  fs::create_hard_link(folder_ / "prompts.jsonl", folder_ / "hard");
  for (const JobPaths& paths : kJobs) {
    const std::string start =
        fmt::format("{}.yaml model.config=config.json parallel.placement=placement.json {} ", paths.job, paths.base);
    const auto message = [](const std::string& output, const std::string& spelled, const std::string& input,
                            const std::string& file) {
      return fmt::format("{} '{}' and {} '{}' are the same file: {}; choose another path for {}", output, spelled,
                         input, file, kNeeded, output);
    };
    for (const std::string& output : paths.outputs) {
      for (const std::string& input : paths.inputs) {
        const std::string file = file_of(input, paths.job);
        expect_refusals(start + output + "=" + file, message(output, file, input, file));
        if (file != "prompts.jsonl") continue;
        for (const std::string spelled : {"./model/../prompts.jsonl", "link", "hard"}) {
          expect_refusal(start + output + "=" + spelled, message(output, spelled, input, file));
        }
      }
    }
  }
}

TEST_F(M2Paths, NoOutputIsTheCheckpoint) {
  fs::create_symlink("model/model.safetensors", folder_ / "link");
  fs::create_hard_link(folder_ / "model/config.json", folder_ / "hard");
  fs::create_directory_symlink("model", folder_ / "other");
  for (const JobPaths& paths : kJobs) {
    for (const std::string& output : paths.outputs) {
      const std::string start = paths.job + ".yaml " + paths.base + " model.checkpoint=";
      expect_refusals(
          start + "model.h5 " + output + "=model.h5",
          fmt::format("{0} 'model.h5' and model.checkpoint 'model.h5' are the same file: {1}; choose another "
                      "path for {0}",
                      output, kNeeded));
      expect_refusal(start + "model " + output + "=other",
                     fmt::format("{0} 'other' and model.checkpoint 'model' are the same folder: {1}; choose another "
                                 "path for {0}",
                                 output, kNeeded));
      for (const std::string file :
           {"model/config.json", "model/model.safetensors", "link", "hard", "other/tokenizer.json"}) {
        expect_refusal(
            start + "model " + output + "=" + file,
            fmt::format("{0} '{1}' is a file of the checkpoint model.checkpoint 'model': {2}; choose another "
                        "path for {0}",
                        output, file, kNeeded));
      }
    }
  }
}

TEST_F(M2Paths, NoOutputIsAnother) {
  fs::create_symlink("new", folder_ / "dangling");
  for (const JobPaths& paths : kJobs) {
    const std::string first = paths.outputs[0], second = paths.outputs[1];
    for (const std::string spelled : {"new", "./new", "dangling"}) {
      expect_refusal(
          fmt::format("{}.yaml model.checkpoint=model {} {}=new {}={}", paths.job, paths.base, first, second, spelled),
          fmt::format("{0} 'new' and {1} '{2}' are the same file: one would overwrite the other; choose "
                      "another path for {0}",
                      first, second, spelled));
    }
  }
}

TEST_F(M2Paths, WhatIsSeparateIsAccepted) {
  const std::string start =
      "generate.yaml sampling.max_new_tokens=2 model.checkpoint=model prompts.file=prompts.jsonl ";
  const Outcome to_folder = m2(start + "output.file=model/out.jsonl output.expert_load=load.json");
  EXPECT_EQ(to_folder.code, 0) << to_folder.err;
  const Outcome resumed = m2(start + "output.file=model/out.jsonl output.resume=true");
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  const Outcome to_device = m2(start + "output.file=/dev/null >/dev/null");
  EXPECT_EQ(to_device.code, 0) << to_device.err;
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

}  // namespace
}  // namespace m2::test
