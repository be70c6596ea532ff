// SPDX-License-Identifier: Apache-2.0
// m2-convert when something breaks: full disks, files that are cut off or altered.
#include <gmock/gmock.h>

#include <filesystem>

#include "checkpoint/hugging_face_folder.hpp"
#include "cli/shell.hpp"
#include "io/temporary_folder.hpp"

namespace m2::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class ConvertFailure : public ::testing::Test {
 protected:
  // m2-convert with `arguments`, perhaps behind other commands of the shell.
  static Outcome convert(const std::string& arguments, const std::string& before = "") {
    return run(before + m2_convert_program() + " " + arguments);
  }
  // What it says on stderr when it must fail without a result.
  static std::string refusal(const std::string& arguments, const std::string& before = "") {
    const Outcome outcome = convert(arguments, before);
    EXPECT_EQ(outcome.code, 1) << arguments;
    EXPECT_EQ(outcome.out, "") << arguments;
    EXPECT_THAT(outcome.err, StartsWith("m2-convert: error: "));
    return outcome.err;
  }
  std::string imported() const {
    const std::string file = folder_ / "model.h5";
    const Outcome outcome = convert("import " + fixture("tiny-bf16") + " " + file);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return file;
  }

  TemporaryFolder folder_;
};

// A limit on the size of files is a full disk to whoever writes them: 64 blocks of 512 or 1024 bytes, by shell.
TEST_F(ConvertFailure, AFullDiskLeavesNothingBehind) {
  const std::string file = imported();
  EXPECT_THAT(refusal("import " + fixture("tiny-bf16") + " " + folder_ / "new.h5", "ulimit -f 64; "),
              HasSubstr(folder_ / "new.h5"));
  EXPECT_THAT(refusal("export " + file + " " + folder_ / "out", "ulimit -f 64; "), HasSubstr(folder_ / "out"));
  EXPECT_THAT(folder_.names(), ElementsAre("model.h5"));

  const std::string before = read_bytes(file);
  EXPECT_THAT(refusal("import " + fixture("tiny-f32") + " " + file, "ulimit -f 64; "), HasSubstr(file));
  EXPECT_TRUE(read_bytes(file) == before) << "what was at the target stays";
  EXPECT_THAT(folder_.names(), ElementsAre("model.h5"));
}

TEST_F(ConvertFailure, ACutOffSafetensorsFileIsRefused) {
  std::filesystem::copy(fixture("tiny-bf16"), folder_ / "in");
  const std::string shard = folder_ / "in/model.safetensors";
  for (const std::uintmax_t size : {std::filesystem::file_size(shard) - 1, std::uintmax_t{1000}, std::uintmax_t{5}}) {
    std::filesystem::resize_file(shard, size);
    EXPECT_THAT(refusal("import " + folder_ / "in" + " " + folder_ / "out.h5"), HasSubstr(shard)) << size;
    EXPECT_THAT(refusal("info " + folder_ / "in"), HasSubstr(shard)) << size;
  }
  EXPECT_THAT(folder_.names(), ElementsAre("in"));
}

TEST_F(ConvertFailure, ACutOffCheckpointIsRefused) {
  const std::string file = imported();
  const std::uintmax_t whole = std::filesystem::file_size(file);
  for (const std::uintmax_t size : {whole - 1, whole / 2, std::uintmax_t{20}}) {
    std::filesystem::resize_file(file, size);
    for (const std::string& command :
         {std::string("info "), std::string("verify "), "diff " + fixture("tiny-bf16") + " "}) {
      EXPECT_THAT(refusal(command + file), AllOf(HasSubstr(file), HasSubstr("is truncated: it has"))) << size;
    }
    EXPECT_THAT(refusal("export " + file + " " + folder_ / "out"), HasSubstr("is truncated: it has")) << size;
  }
  EXPECT_THAT(folder_.names(), ElementsAre("model.h5"));
}

TEST_F(ConvertFailure, AnAlteredWeightIsADefectByName) {
  const std::string file = imported();
  std::string bytes = read_bytes(file);
  bytes[bytes.size() / 2] ^= 1;  // weights fill all but the two ends of the file
  write_bytes(file, bytes);
  const Outcome verified = convert("verify " + file);
  EXPECT_EQ(verified.code, 1);
  EXPECT_EQ(verified.err, "");
  EXPECT_THAT(verified.out, ::testing::ContainsRegex("^defect: '[^']*': (layers/|embed_tokens|lm_head)"));
  EXPECT_THAT(verified.out, HasSubstr(" hashes compared, 1 defect\n"));
  EXPECT_THAT(refusal("export " + file + " " + folder_ / "out"), HasSubstr("altered"));
  EXPECT_THAT(folder_.names(), ElementsAre("model.h5"));
}

TEST_F(ConvertFailure, AnAlteredDescriptionIsRefused) {
  const std::string file = imported();
  std::string bytes = read_bytes(file);
  bytes[100] ^= 1;  // in the table of the manifest
  write_bytes(file, bytes);
  for (const std::string command : {"info ", "verify "}) {
    EXPECT_THAT(refusal(command + file), AllOf(HasSubstr(file), HasSubstr("altered")));
  }
}

}  // namespace
}  // namespace m2::test
