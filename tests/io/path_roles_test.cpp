// SPDX-License-Identifier: Apache-2.0
#include "io/path_roles.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "core/error.hpp"
#include "io/temporary_folder.hpp"

namespace m2::test {
namespace {

namespace fs = std::filesystem;

// What the roles are refused with.
std::string refusal(const std::vector<PathRole>& roles) {
  try {
    require_separate_paths(roles);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

class PathRoles : public ::testing::Test {
 protected:
  PathRoles() {
    write_bytes(in_, "prompts\n");
    fs::create_directory(model_);
    write_bytes(model_ + "/config.json", "{}");
    write_bytes(model_ + "/model-00001-of-00001.safetensors", "weights");
  }
  ~PathRoles() override { EXPECT_EQ(read_bytes(in_), "prompts\n"); }

  // Of an output beside the input in_.
  std::string with_output(const std::string& path) const {
    return refusal({{"prompts.file", in_, PathUse::read}, {"output.file", path, PathUse::write}});
  }
  std::string same_file(const std::string& path) const {
    return fmt::format(
        "output.file '{}' and prompts.file '{}' are the same file: it would be overwritten while it is needed; choose "
        "another path for output.file",
        path, in_);
  }
  // Of a file that is written although the checkpoint folder model_ is read.
  std::string beside_model(const std::string& path) const {
    return refusal({{"output.file", path, PathUse::write}, {"model.checkpoint", model_, PathUse::read}});
  }
  std::string file_of_model(const std::string& path) const {
    return fmt::format(
        "output.file '{}' is a file of the checkpoint model.checkpoint '{}': it would be overwritten while it is "
        "needed; choose another path for output.file",
        path, model_);
  }

  TemporaryFolder folder_;
  const std::string in_ = folder_ / "in.jsonl", model_ = folder_ / "model";
};

TEST_F(PathRoles, AFileHasOneIdentityHoweverItIsSpelled) {
  fs::create_symlink(in_, folder_ / "link");
  fs::create_symlink("link", folder_ / "link to link");
  fs::create_hard_link(in_, folder_ / "hard");
  fs::create_directory_symlink(folder_.path(), folder_ / "here");
  const FileIdentity identity = identify_file(in_);
  EXPECT_EQ(identity.missing_names, "");
  for (const std::string name :
       {"link", "link to link", "hard", "./in.jsonl", "model/../in.jsonl", "here/in.jsonl", "here/here/hard"}) {
    EXPECT_EQ(identify_file(folder_ / name), identity) << name;
    EXPECT_EQ(with_output(folder_ / name), same_file(folder_ / name));
  }
  EXPECT_EQ(identify_file(fs::relative(in_)), identity);
  write_bytes(folder_ / "copy", "prompts\n");
  EXPECT_NE(identify_file(folder_ / "copy"), identity);
  EXPECT_EQ(with_output(folder_ / "copy"), "accepted");
}

TEST_F(PathRoles, AMissingFileIsItsFolderAndItsName) {
  fs::create_symlink("new", folder_ / "dangling");
  fs::create_directory_symlink(folder_.path(), folder_ / "here");
  const FileIdentity identity = identify_file(folder_ / "new");
  EXPECT_EQ(identity.missing_names, "new");
  EXPECT_EQ(identity.inode, identify_file(folder_.path()).inode);
  for (const std::string name : {"./new", "new/", "dangling", "here/new", "model/../new", "here/dangling"}) {
    EXPECT_EQ(identify_file(folder_ / name), identity) << name;
  }
  EXPECT_NE(identify_file(folder_ / "new2"), identity);
  EXPECT_NE(identify_file(model_ + "/new"), identity);
  EXPECT_EQ(identify_file(folder_ / "no/such/./folder/x").missing_names, "no/such/folder/x");
  EXPECT_EQ(identify_file("new"), identify_file("./new"));
  EXPECT_EQ(identify_file("new"), identify_file(fs::current_path() / "new"));
  EXPECT_EQ(identify_file("").missing_names, "") << "the current folder";
}

TEST_F(PathRoles, ALinkToItselfEnds) {
  fs::create_symlink("loop", folder_ / "loop");
  EXPECT_EQ(identify_file(folder_ / "loop").missing_names, "loop");
}

TEST_F(PathRoles, TwoOutputsMayNotBeOneFile) {
  fs::create_symlink("new", folder_ / "dangling");
  EXPECT_EQ(refusal({{"output.file", folder_ / "new", PathUse::write},
                     {"output.report", folder_ / "dangling", PathUse::write}}),
            fmt::format("output.file '{}' and output.report '{}' are the same file: one would overwrite the other; "
                        "choose another path for output.file",
                        folder_ / "new", folder_ / "dangling"));
  EXPECT_EQ(refusal({{"output.file", folder_ / "a", PathUse::write}, {"output.report", folder_ / "b", PathUse::write}}),
            "accepted");
}

TEST_F(PathRoles, TwoInputsMayBeOneFile) {
  EXPECT_EQ(refusal({{"prompts.file", in_, PathUse::read}, {"parallel.placement", in_, PathUse::read}}), "accepted");
}

TEST_F(PathRoles, DevicesAndPipesMayBeGivenTwice) {
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  for (const std::string& path : {std::string("/dev/null"), folder_ / "pipe"}) {
    EXPECT_EQ(refusal({{"prompts.file", path, PathUse::read},
                       {"output.file", path, PathUse::write},
                       {"output.report", path, PathUse::write}}),
              "accepted");
  }
}

TEST_F(PathRoles, WhatACheckpointFolderHoldsMayNotBeWritten) {
  fs::create_hard_link(model_ + "/config.json", folder_ / "hard.json");
  fs::create_symlink(in_, model_ + "/tokenizer.json");  // as in the cache of Hugging Face
  for (const std::string& path : {model_ + "/config.json", model_ + "/model-00001-of-00001.safetensors",
                                  folder_ / "hard.json", in_, model_ + "/generation_config.json"}) {
    EXPECT_EQ(beside_model(path), file_of_model(path));
  }
  EXPECT_EQ(beside_model(model_ + "/"),
            fmt::format("output.file '{0}/' and model.checkpoint '{0}' are the same folder: it would be overwritten "
                        "while it is needed; choose another path for output.file",
                        model_));
  write_bytes(model_ + "/old.jsonl", "");
  for (const std::string name : {"/new.jsonl", "/old.jsonl", "/runs/load.json"}) {
    EXPECT_EQ(beside_model(model_ + name), "accepted") << "no checkpoint is read from there";
  }
}

TEST_F(PathRoles, AFolderThatIsWrittenLiesApart) {
  const auto with_target = [&](const std::string& target) {
    return refusal({{"IN.h5", model_, PathUse::read}, {"HF_DIR", target, PathUse::write_folder}});
  };
  for (const std::string name : {"/out", "/a/b", "/./out/"}) {
    EXPECT_EQ(
        with_target(model_ + name),
        fmt::format("HF_DIR '{}' lies inside IN.h5 '{}'; choose a path outside for HF_DIR", model_ + name, model_));
  }
  EXPECT_EQ(
      with_target(folder_.path()),
      fmt::format("IN.h5 '{}' lies inside HF_DIR '{}'; choose a path outside for HF_DIR", model_, folder_.path()));
  EXPECT_THAT(with_target(model_), ::testing::HasSubstr("are the same folder"));
  EXPECT_EQ(with_target(folder_ / "model2"), "accepted");
}

// A job that is run again finds its folder, and continues from a file in it.
TEST_F(PathRoles, AFolderThatGetsFilesMayHoldOthers) {
  const std::string run = folder_ / "run";
  const auto with_folder = [&](const PathRole& other) {
    return refusal({{"checkpoint.folder", run, PathUse::add_to_folder}, other});
  };
  const auto expect_apart = [&] {
    for (const std::string name : {"/step-7.h5", "/export", "/data.jsonl"}) {
      EXPECT_EQ(with_folder({"restore.from", run + name, PathUse::read}), "accepted") << name;
      EXPECT_EQ(with_folder({"output.file", run + name, PathUse::write}), "accepted") << name;
    }
    EXPECT_EQ(with_folder({"model.checkpoint", folder_.path(), PathUse::read}), "accepted") << "the folder around it";
    EXPECT_EQ(with_folder({"model.checkpoint", model_, PathUse::read}), "accepted");
    EXPECT_THAT(with_folder({"output.file", run, PathUse::write}), ::testing::HasSubstr("would overwrite the other"));
  };
  expect_apart();
  fs::create_directory(run);
  expect_apart();
  EXPECT_EQ(with_folder({"restore.from", run, PathUse::read}), "accepted");
  EXPECT_EQ(
      refusal({{"checkpoint.folder", in_, PathUse::add_to_folder}, {"data.file", in_, PathUse::read}}),
      fmt::format("checkpoint.folder '{0}' and data.file '{0}' are the same file: it would be overwritten while it "
                  "is needed; choose another path for checkpoint.folder",
                  in_));
}

}  // namespace
}  // namespace m2::test
