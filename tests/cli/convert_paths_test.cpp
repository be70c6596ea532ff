// SPDX-License-Identifier: Apache-2.0
// What m2-convert writes may not be what it reads: refused before anything is touched.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>

#include "cli/folder_contents.hpp"
#include "cli/shell.hpp"

namespace m2::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNeeded = "it would be overwritten while it is needed";

class ConvertPaths : public ::testing::Test {
 protected:
  ConvertPaths() {
    fs::create_directory(folder_ / "models");
    fs::copy(M2_TEST_DATA "/tiny-bf16", folder_ / "models/in");
    fs::create_directory_symlink("in", folder_ / "models/link");
  }

  Outcome convert(const std::string& arguments) const {
    return run("cd '" + folder_.path() + "/models' && " + m2_convert_program() + " " + arguments);
  }

  // The message alone, code 2, and no byte changed.
  void expect_refusal(const std::string& arguments, const std::string& message) const {
    const auto before = contents_of(folder_.path());
    const Outcome outcome = convert(arguments);
    EXPECT_EQ(outcome.code, 2) << arguments;
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.err, "m2-convert: error: " + message + "\n");
    EXPECT_TRUE(contents_of(folder_.path()) == before) << arguments;
  }

  TemporaryFolder folder_;
};

TEST_F(ConvertPaths, ImportKeepsTheFolderItReads) {
  fs::create_hard_link(folder_ / "models/in/model.safetensors", folder_ / "models/hard.h5");
  fs::create_symlink("in/config.json", folder_ / "models/link.h5");
  for (const std::string file : {"in/model.safetensors", "./in/config.json", "link/config.json", "hard.h5", "link.h5",
                                 "in/chat_template.jinja"}) {
    expect_refusal(
        "import in " + file,
        fmt::format("OUT.h5 '{}' is a file of the checkpoint HF_DIR 'in': {}; choose another path for OUT.h5", file,
                    kNeeded));
  }
  expect_refusal("import in link/", fmt::format("OUT.h5 'link/' and HF_DIR 'in' are the same folder: {}; choose "
                                                "another path for OUT.h5",
                                                kNeeded));
  EXPECT_EQ(convert("import in in/model.h5").code, 0) << "no checkpoint is read from there";
  EXPECT_EQ(convert("import in in/model.h5").code, 0) << "nor the second time";
}

TEST_F(ConvertPaths, ImportKeepsTheFileItReads) {
  ASSERT_EQ(convert("import in model.h5").code, 0);
  expect_refusal("import model.h5 ./model.h5",
                 fmt::format("OUT.h5 './model.h5' and HF_DIR 'model.h5' are the same file: {}; choose another path for "
                             "OUT.h5",
                             kNeeded));
}

TEST_F(ConvertPaths, ExportLiesApart) {
  for (const std::string target : {"in/out", "link/out", "in/a/b", "./in/out/"}) {
    expect_refusal("export in " + target,
                   fmt::format("HF_DIR '{}' lies inside IN.h5 'in'; choose a path outside for HF_DIR", target));
  }
  for (const std::string target : {".", "../models"}) {
    expect_refusal("export in " + target,
                   fmt::format("IN.h5 'in' lies inside HF_DIR '{}'; choose a path outside for HF_DIR", target));
  }
  expect_refusal("export in link", fmt::format("HF_DIR 'link' and IN.h5 'in' are the same folder: {}; choose another "
                                               "path for HF_DIR",
                                               kNeeded));
  ASSERT_EQ(convert("import in model.h5").code, 0);
  fs::create_hard_link(folder_ / "models/model.h5", folder_ / "models/hard");
  for (const std::string target : {"model.h5", "hard"}) {
    expect_refusal("export model.h5 " + target,
                   fmt::format("HF_DIR '{}' and IN.h5 'model.h5' are the same file: {}; choose another path for HF_DIR",
                               target, kNeeded));
  }
  EXPECT_EQ(convert("export in out").code, 0);
}

}  // namespace
}  // namespace m2::test
