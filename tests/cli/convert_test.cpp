// SPDX-License-Identifier: Apache-2.0
// m2-convert as its users meet it: through the command line.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "checkpoint/hugging_face_folder.hpp"
#include "checkpoint/synthetic_checkpoint.hpp"
#include "cli/run_program.hpp"
#include "io/temporary_folder.hpp"

namespace m2::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

class Convert : public ::testing::Test {
 protected:
  ProgramResult run(const std::vector<std::string>& arguments) {
    return run_program("m2-convert", arguments, folder_.path());
  }

  // About 300 MB, two thirds of it experts.
  static MiniMaxM2Config large_config() {
    MiniMaxM2Config config;
    config.hidden_size = 1024;
    config.intermediate_size = 512;
    config.num_hidden_layers = 4;
    config.num_attention_heads = 8;
    config.num_key_value_heads = 2;
    config.num_local_experts = 16;
    config.vocab_size = 20'000;
    return config;
  }

  TemporaryFolder folder_;
};

TEST_F(Convert, ImportVerifyExportDiff) {
  const ProgramResult imported = run({"import", fixture("tiny-fp8"), folder_ / "model.h5"});
  EXPECT_EQ(imported.exit_code, 0) << imported.err;
  EXPECT_THAT(imported.out, StartsWith(folder_ / "model.h5: "));
  EXPECT_EQ(imported.err, "");
  const ProgramResult verified = run({"verify", folder_ / "model.h5"});
  EXPECT_EQ(verified.exit_code, 0);
  EXPECT_THAT(verified.out, HasSubstr(" hashes compared, 0 defects\n"));
  EXPECT_EQ(run({"export", folder_ / "model.h5", folder_ / "out", "--max-shard-size", "500kB"}).exit_code, 0);
  const ProgramResult equal = run({"diff", fixture("tiny-fp8"), folder_ / "out"});
  EXPECT_EQ(equal.exit_code, 0);
  EXPECT_EQ(equal.out, "27 tensors are equal bit by bit, 0 differences\n");
  EXPECT_EQ(run({"export", folder_ / "model.h5", folder_ / "bf16", "--dtype", "bfloat16"}).exit_code, 0);
  EXPECT_EQ(run({"diff", folder_ / "model.h5", folder_ / "bf16"}).exit_code, 1);
  EXPECT_THAT(folder_.names(), ElementsAre("bf16", "model.h5", "out"));
}

TEST_F(Convert, Info) {
  const ProgramResult info = run({"info", fixture("demo"), "--tensors"});
  EXPECT_EQ(info.exit_code, 0);
  EXPECT_THAT(info.out, HasSubstr("MiniMaxM2ForCausalLM"));
  EXPECT_THAT(info.out, HasSubstr("model.layers.3.block_sparse_moe.experts.7.w2.weight"));
}

TEST_F(Convert, HelpNamesEveryCommand) {
  const ProgramResult help = run({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* command : {"import", "export", "info", "verify", "diff", "tokenize"})
    EXPECT_THAT(help.out, HasSubstr(command));
}

TEST_F(Convert, WrongUsageEndsWithCode2) {
  const std::vector<std::vector<std::string>> wrong{
      {},
      {"impart"},
      {"import", "only-one"},
      {"import", "a", "b", "--dtype", "float8"},
      {"export", fixture("demo"), folder_ / "out", "--max-shard-size", "big"}};
  for (const auto& arguments : wrong) {
    const ProgramResult result = run(arguments);
    EXPECT_EQ(result.exit_code, 2) << ::testing::PrintToString(arguments);
    EXPECT_THAT(result.err, StartsWith("m2-convert: error: "));
  }
  EXPECT_THAT(folder_.names(), IsEmpty());
}

TEST_F(Convert, FailureEndsWithCode1AndOneMessage) {
  const ProgramResult missing = run({"import", folder_ / "nowhere", folder_ / "model.h5"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_EQ(missing.err,
            fmt::format("m2-convert: error: '{}' does not exist; expected an HDF5 checkpoint or a Hugging Face "
                        "folder\n",
                        folder_ / "nowhere"));
  write_text_file_atomically(folder_ / "foreign.h5", "no checkpoint at all");
  for (const std::string command : {"info", "verify"}) {
    const ProgramResult foreign = run({command, folder_ / "foreign.h5"});
    EXPECT_EQ(foreign.exit_code, 1);
    EXPECT_THAT(foreign.err, StartsWith("m2-convert: error: "));
    EXPECT_THAT(foreign.err, HasSubstr(folder_ / "foreign.h5"));
  }
  EXPECT_THAT(folder_.names(), ElementsAre("foreign.h5"));
}

TEST_F(Convert, WarnsOfValuesThatAreNotFinite) {
  HuggingFaceFolder changed = HuggingFaceFolder::read(fixture("tiny-fp8"));
  changed.tensors.at("model.layers.0.block_sparse_moe.experts.5.w2.weight").bytes[161] = char(0x7f);
  changed.write(folder_ / "in");
  const ProgramResult imported = run({"import", folder_ / "in", folder_ / "model.h5"});
  EXPECT_EQ(imported.exit_code, 0);
  EXPECT_EQ(imported.err,
            "m2-convert: warning: layers/0/moe/experts/down: 1 value is not finite, the first at [5, 1, 1], which is "
            "'model.layers.0.block_sparse_moe.experts.5.w2.weight'\n");
  const ProgramResult verified = run({"verify", folder_ / "model.h5"});
  EXPECT_EQ(verified.exit_code, 1);
  EXPECT_THAT(verified.out, StartsWith("defect: layers/0/moe/experts/down: 1 value is not finite"));
}

// The promise is 1 GB above the largest tensor at any model size; what a conversion needs is far less: the program
// itself, and a few MiB for each thread.
TEST_F(Convert, MemoryDoesNotGrowWithTheModel) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the address sanitizer keeps freed memory for a while";
#endif
  write_synthetic_checkpoint(folder_ / "in", large_config(), DType::bfloat16, 100'000'000);
  const long idle_bytes = run({"info", fixture("tiny-f32")}).peak_resident_bytes;
  const long limit_bytes = idle_bytes + 100'000'000;
  const ProgramResult imported = run({"import", folder_ / "in", folder_ / "model.h5"});
  EXPECT_EQ(imported.exit_code, 0) << imported.err;
  EXPECT_GT(std::filesystem::file_size(folder_ / "model.h5"), 250'000'000u);
  EXPECT_LT(imported.peak_resident_bytes, limit_bytes);
  for (const std::string dtype : {"keep", "float8"}) {
    const ProgramResult exported = run({"export", folder_ / "model.h5", folder_ / dtype, "--dtype", dtype});
    EXPECT_EQ(exported.exit_code, 0) << exported.err;
    EXPECT_LT(exported.peak_resident_bytes, limit_bytes) << dtype;
  }
  // Conversions of dtype, of bfloat16 and of what was just quantised.
  for (const std::string from : {"in", "float8"}) {
    for (const std::string dtype : {"bfloat16", "float32"}) {
      const ProgramResult converted = run({"import", folder_ / from, folder_ / "model.h5", "--dtype", dtype});
      EXPECT_EQ(converted.exit_code, 0) << converted.err;
      EXPECT_GT(std::filesystem::file_size(folder_ / "model.h5"), dtype == "float32" ? 500'000'000u : 250'000'000u);
      EXPECT_LT(converted.peak_resident_bytes, limit_bytes) << from << " as " << dtype;
    }
  }
}

TEST_F(Convert, ASignalLeavesNothingBehind) {
  write_synthetic_checkpoint(folder_ / "in", large_config(), DType::bfloat16, 5'000'000'000);
  for (const int number : {SIGINT, SIGTERM}) {
    ProgramResult result;
    // The program may be done before the signal comes, but hardly each time.
    for (int attempt = 0; attempt < 10 && result.exit_code == 0; ++attempt) {
      std::filesystem::remove(folder_ / "model.h5");
      Program program("m2-convert", {"import", folder_ / "in", folder_ / "model.h5"}, folder_.path());
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      const auto has_begun = [&] {
        return std::ranges::any_of(folder_.names(), [](const std::string& name) { return name.ends_with(".tmp"); });
      };
      while (!has_begun() && std::chrono::steady_clock::now() < deadline)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      program.signal(number);
      result = program.wait();
    }
    EXPECT_EQ(result.exit_code, 128 + number);
    EXPECT_THAT(result.err, MatchesRegex("m2-convert: stopped by SIG[A-Z]+.*; unfinished files were removed\n"));
    EXPECT_THAT(folder_.names(), ElementsAre("in"));
  }
}

}  // namespace
}  // namespace m2::test
