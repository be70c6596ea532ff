// SPDX-License-Identifier: Apache-2.0
// m2-convert on several ranks: the same files as from one, and one clean end when a rank fails.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "checkpoint/hugging_face_folder.hpp"
#include "checkpoint/synthetic_checkpoint.hpp"
#include "cli/ranks.hpp"
#include "io/hdf5.hpp"
#include "io/temporary_folder.hpp"

namespace m2::test {
namespace {

using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

class ConvertRanks : public ::testing::Test {
 protected:
  static Outcome many(int num_ranks, const std::string& arguments) {
    return run(on_ranks(num_ranks, m2_convert_program() + " " + arguments));
  }
  static Outcome alone(const std::string& arguments) { return run(m2_convert_program() + " " + arguments); }

  // Names and bytes of all files of a folder.
  static std::map<std::string, std::string> files_of(const std::string& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      files[entry.path().filename()] = read_bytes(entry.path());
    return files;
  }

  // One flipped bit in each of these slabs of the first layer's down projections.
  void damage(const std::string& path, const std::vector<int>& slabs) const {
    std::string bytes = read_bytes(path);
    const Hdf5Dataset dataset = *Hdf5Reader(path).find("/model/layers/0/moe/experts/down");
    for (const int slab : slabs) bytes[dataset.offset + std::size_t(slab) * dataset.slab_bytes() + 3] ^= 1;
    write_bytes(path, bytes);
  }

  TemporaryFolder folder_;
};

TEST_F(ConvertRanks, ImportGivesTheSameFile) {
  for (const std::string dtype : {"keep", "bfloat16"}) {
    const std::string options = " --dtype " + dtype + " --alignment 64KiB";
    ASSERT_EQ(alone("import " + fixture("tiny-fp8") + " " + (folder_ / "one.h5") + options).code, 0);
    for (const int num_ranks : {2, 3, 4}) {
      const std::string path = folder_ / "many.h5";
      const Outcome outcome = many(num_ranks, "import " + fixture("tiny-fp8") + " " + path + options);
      EXPECT_EQ(outcome.code, 0) << outcome.err;
      EXPECT_THAT(outcome.out, MatchesRegex(path + ": 1[.]7 MB in .*/s\n")) << "one rank speaks, for all bytes";
      EXPECT_TRUE(read_bytes(path) == read_bytes(folder_ / "one.h5")) << dtype << " on " << num_ranks;
    }
  }
  EXPECT_THAT(folder_.names(), ElementsAre("many.h5", "one.h5"));
}

TEST_F(ConvertRanks, ExportGivesTheSameFolder) {
  const std::vector<std::pair<std::string, std::string>> cases{{"tiny-fp8", "keep"}, {"tiny-f32", "float8"}};
  for (const auto& [name, dtype] : cases) {
    const std::string file = folder_ / (name + ".h5"), options = " --max-shard-size 300kB --dtype " + dtype;
    ASSERT_EQ(alone("import " + fixture(name) + " " + file).code, 0);
    const std::string one = folder_ / (name + ".1");
    ASSERT_EQ(alone("export " + file + " " + one + options).code, 0);
    for (const int num_ranks : {2, 3, 4}) {
      const std::string to = folder_ / fmt::format("{}.{}", name, num_ranks);
      const Outcome outcome = many(num_ranks, "export " + file + " " + to + options);
      EXPECT_EQ(outcome.code, 0) << outcome.err;
      EXPECT_TRUE(files_of(to) == files_of(one)) << name << " on " << num_ranks;
    }
  }
}

TEST_F(ConvertRanks, WarningsComeFromEveryRankOnce) {
  HuggingFaceFolder changed = HuggingFaceFolder::read(fixture("tiny-fp8"));
  for (const char* tensor : {"model.layers.0.block_sparse_moe.experts.0.w1.weight", "model.norm.weight",
                             "model.layers.1.block_sparse_moe.experts.5.w2.weight"}) {
    std::string& bytes = changed.tensors.at(tensor).bytes;
    bytes[6] = bytes[7] = char(0x7f);
    bytes[6] = char(bytes[6] | 0x80);  // in bfloat16 an infinity
  }
  changed.write(folder_ / "in");
  const Outcome one = alone("import " + (folder_ / "in") + " " + (folder_ / "model.h5"));
  const Outcome by_many = many(3, "import " + (folder_ / "in") + " " + (folder_ / "model.h5"));
  EXPECT_EQ(occurrences(one.err, "warning"), 3) << one.err;
  EXPECT_EQ(by_many.err, one.err);
  const Outcome verified = alone("verify " + (folder_ / "model.h5"));
  EXPECT_EQ(verified.code, 1);
  const Outcome verified_by_many = many(3, "verify " + (folder_ / "model.h5"));
  EXPECT_EQ(verified_by_many.code, 1);
  EXPECT_EQ(verified_by_many.out, verified.out);
}

TEST_F(ConvertRanks, VerifyNamesEveryDefect) {
  const std::string path = folder_ / "model.h5";
  ASSERT_EQ(alone("import " + fixture("tiny-fp8") + " " + path).code, 0);
  damage(path, {0, 2, 5});
  const Outcome one = alone("verify " + path);
  EXPECT_EQ(occurrences(one.out, "defect: "), 3) << one.out;
  EXPECT_EQ(many(4, "verify " + path).out, one.out);
}

TEST_F(ConvertRanks, ARankThatFailsEndsAllAndLeavesNothing) {
  const std::string path = folder_ / "model.h5";
  ASSERT_EQ(alone("import " + fixture("tiny-fp8") + " " + path).code, 0);
  const std::string whole = read_bytes(path);
  for (const int slab : {0, 5}) {  // read by different ranks
    write_bytes(path, whole);
    damage(path, {slab});
    for (const std::string command : {"import", "export"}) {
      const Outcome outcome = many(3, command + " " + path + " " + (folder_ / "out"));
      EXPECT_EQ(outcome.code, 1) << outcome.err;
      EXPECT_LT(outcome.seconds, kSoonSeconds);
      EXPECT_THAT(outcome.err, ContainsRegex("rank [0-2] of 3 on [^ ]+: m2-convert: error: .*slab " +
                                             std::to_string(slab) + " of 6 was altered"));
      EXPECT_EQ(occurrences(outcome.err, "m2-convert: error"), 1) << outcome.err;
      EXPECT_THAT(folder_.names(), ElementsAre("model.h5"));
    }
  }
}

TEST_F(ConvertRanks, WrongUsageIsToldOnce) {
  for (const std::string arguments : {"impart", "import only-one", "import a b --alignment 3000", "import a a"}) {
    const Outcome outcome = many(2, arguments);
    EXPECT_EQ(outcome.code, 2) << arguments;
    EXPECT_EQ(occurrences(outcome.err, "m2-convert: error"), 1) << outcome.err;
  }
  EXPECT_THAT(alone("import a b --alignment 3000").err,
              StartsWith("m2-convert: error: --alignment is 3000, 3000 bytes; expected a power of two from 4KiB to "
                         "1GiB, such as 4MiB"));
}

TEST_F(ConvertRanks, ASignalLeavesNothingBehind) {
  MiniMaxM2Config config;
  config.hidden_size = 1024;
  config.intermediate_size = 512;
  config.num_hidden_layers = 4;
  config.num_attention_heads = 8;
  config.num_key_value_heads = 2;
  config.num_local_experts = 16;
  config.vocab_size = 20'000;
  write_synthetic_checkpoint(folder_ / "in", config, DType::bfloat16, 5'000'000'000);
  // Sent as soon as there is a file; the program may be done before, but hardly each time.
  const std::string out = folder_ / "model.h5";
  const std::string import = "import " + (folder_ / "in") + " " + out + " --dtype float32";
  const std::string script = on_ranks(2, m2_convert_program() + " " + import) + " & for i in $(seq 2000); do ls " +
                             out + ".*.tmp >/dev/null 2>&1 && break; sleep 0.01; done; kill -TERM $!; wait $!";
  Outcome outcome = run(script);
  for (int attempt = 1; attempt < 10 && std::filesystem::remove(out); ++attempt) outcome = run(script);
  EXPECT_NE(outcome.code, 0);  // what the ranks say is lost where the launcher ends first
  EXPECT_THAT(folder_.names(), ElementsAre("in"));
}

TEST_F(ConvertRanks, InfoAndDiffSpeakOnce) {
  const Outcome info = many(2, "info " + fixture("demo"));
  EXPECT_EQ(info.code, 0);
  EXPECT_EQ(info.out, alone("info " + fixture("demo")).out);
  const Outcome diff = many(2, "diff " + fixture("tiny-f32") + " " + fixture("tiny-bf16"));
  EXPECT_EQ(diff.code, 1);
  EXPECT_EQ(diff.out, alone("diff " + fixture("tiny-f32") + " " + fixture("tiny-bf16")).out);
}

}  // namespace
}  // namespace m2::test
