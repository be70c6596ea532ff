// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/open_checkpoint.hpp"
#include "checkpoint/inspect/diff.hpp"
#include "checkpoint/inspect/info.hpp"
#include "checkpoint/inspect/verify.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <limits>

#include "checkpoint/convert/convert.hpp"
#include "checkpoint/hugging_face_folder.hpp"
#include "checkpoint/non_finite.hpp"
#include "core/error.hpp"
#include "io/flip_bit.hpp"
#include "io/hdf5.hpp"
#include "io/temporary_folder.hpp"

namespace m2 {
namespace {

using test::fixture;
using test::flip_bit;
using test::HuggingFaceFolder;
using test::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

const std::string kW3 = "model.layers.1.block_sparse_moe.experts.2.w3.weight";

std::string import_fixture(const TemporaryFolder& folder, const std::string& name,
                           DTypeChoice dtype = DTypeChoice::keep) {
  const std::string path = folder / (name + ".h5");
  import_checkpoint(*open_checkpoint(fixture(name)), path, dtype);
  return path;
}

// Expert 2 of layer 1: a NaN at [3, 5] of w3, an infinity behind it.
HuggingFaceFolder with_non_finite_values() {
  HuggingFaceFolder folder = HuggingFaceFolder::read(fixture("tiny-f32"));
  std::string& bytes = folder.tensors.at(kW3).bytes;
  const float values[] = {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()};
  std::memcpy(bytes.data() + (3 * 64 + 5) * sizeof(float), values, sizeof(values));
  return folder;
}
const std::string kNonFiniteLine =
    "layers/1/moe/experts/gate_up: 2 values are not finite, the first at [2, 99, 5], which is '" + kW3 + "'";

TEST(NonFinite, CountsEveryDTypeInEveryPlace) {
  const std::vector<std::pair<DType, std::vector<unsigned char>>> cases{
      {DType::float32, {0, 0, 0x80, 0x7f}}, {DType::float32, {1, 0, 0x80, 0xff}}, {DType::bfloat16, {0x80, 0x7f}},
      {DType::bfloat16, {0xc1, 0xff}},      {DType::float8_e4m3fn, {0x7f}},       {DType::float8_e4m3fn, {0xff}}};
  for (const auto& [dtype, code] : cases) {
    for (const std::size_t count : {1u, 3u, 127u, 128u, 129u, 1000u}) {
      std::vector<std::byte> all_finite(count * code.size(), std::byte{0x3e});
      EXPECT_EQ(count_non_finite(dtype, all_finite), 0);
      for (std::size_t i = 0; i < count; i += 13) {
        auto one = all_finite;
        std::memcpy(one.data() + i * code.size(), code.data(), code.size());
        EXPECT_EQ(count_non_finite(dtype, one), 1) << name(dtype) << " " << count << " " << i;
      }
      std::vector<std::byte> all(count * code.size());
      for (std::size_t i = 0; i < all.size(); ++i) all[i] = std::byte{code[i % code.size()]};
      EXPECT_EQ(count_non_finite(dtype, all), std::int64_t(count));
    }
  }
}

TEST(NonFinite, ImportGoesOnAndSaysWhere) {
  const TemporaryFolder folder;
  with_non_finite_values().write(folder / "in");
  const auto result = import_checkpoint(*open_checkpoint(folder / "in"), folder / "model.h5", DTypeChoice::keep);
  EXPECT_THAT(result.non_finite, ElementsAre(kNonFiniteLine));
  EXPECT_THAT(verify_checkpoint(*open_checkpoint(folder / "model.h5")).defects, ElementsAre(kNonFiniteLine));
}

TEST(Verify, AcceptsWhatImportWrote) {
  const TemporaryFolder folder;
  const auto source = open_checkpoint(import_fixture(folder, "tiny-fp8"));
  const VerifyResult result = verify_checkpoint(*source);
  EXPECT_THAT(result.defects, IsEmpty());
  // Two layers: 10 tensors of one slab and the scales of 4, two expert stacks and their scales of 6 slabs; 3 more.
  EXPECT_EQ(result.num_slabs, 2 * (10 + 4 + 4 * 6) + 3);
}

TEST(Verify, NamesEverySlabThatWasAltered) {
  const TemporaryFolder folder;
  const std::string path = import_fixture(folder, "tiny-fp8");
  const std::uint64_t expert_bytes = 320 * 192;
  flip_bit(path, "/model/layers/1/moe/experts/gate_up", 4 * expert_bytes + 17);
  flip_bit(path, "/model/norm", 1);
  const auto result = verify_checkpoint(*open_checkpoint(path));
  ASSERT_THAT(result.defects, SizeIs(2));
  EXPECT_THAT(result.defects[0],
              StartsWith(fmt::format("'{}': layers/1/moe/experts/gate_up slab 4 of 6 was altered: ", path)));
  EXPECT_THAT(result.defects[1], StartsWith(fmt::format("'{}': norm slab 0 of 1 was altered: ", path)));
}

TEST(Verify, AnAlteredTextIsADefect) {
  const TemporaryFolder folder;
  const std::string path = import_fixture(folder, "demo");
  flip_bit(path, "/tokenizer", 100);
  EXPECT_THAT(verify_checkpoint(*open_checkpoint(path)).defects, ElementsAre(HasSubstr("/tokenizer")));
}

TEST(Verify, ExportRefusesAnAlteredTensor) {
  const TemporaryFolder folder;
  const std::string path = import_fixture(folder, "tiny-f32");
  flip_bit(path, "/model/lm_head", 0);
  for (const DTypeChoice dtype : {DTypeChoice::keep, DTypeChoice::bfloat16}) {
    try {
      export_checkpoint(*open_checkpoint(path), folder / "out", dtype, kDefaultShardBytes);
      FAIL() << "an altered tensor was exported";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), StartsWith(fmt::format("'{}': lm_head slab 0 of 1 was altered: ", path)));
    }
    EXPECT_THAT(folder.names(), ElementsAre("tiny-f32.h5"));
  }
}

TEST(Diff, AnImportEqualsItsOriginal) {
  const TemporaryFolder folder;
  for (const std::string name : {"tiny-f32", "tiny-fp8", "demo"}) {
    const auto original = open_checkpoint(fixture(name));
    const DiffResult result = diff_checkpoints(*original, *open_checkpoint(import_fixture(folder, name)));
    EXPECT_THAT(result.differences, IsEmpty());
    EXPECT_EQ(result.num_equal, std::ranges::count(original->tensors(), false, &StoredTensor::is_scale));
  }
}

TEST(Diff, FindsTheLargestDifference) {
  const TemporaryFolder folder;
  HuggingFaceFolder changed = HuggingFaceFolder::read(fixture("tiny-f32"));
  const float value = 100;
  std::memcpy(changed.tensors.at(kW3).bytes.data() + 7 * sizeof(float), &value, sizeof(value));
  changed.write(folder / "in");
  const DiffResult result = diff_checkpoints(*open_checkpoint(fixture("tiny-f32")), *open_checkpoint(folder / "in"));
  ASSERT_THAT(result.differences, SizeIs(1));
  EXPECT_THAT(result.differences[0],
              StartsWith("layers/1/moe/experts/gate_up: largest difference 100 at [2, 96, 7]: "));
  EXPECT_THAT(result.differences[0], ::testing::EndsWith("against 100"));
}

TEST(Diff, ComparesValuesAcrossDTypes) {
  const TemporaryFolder folder;
  const auto result = diff_checkpoints(*open_checkpoint(fixture("tiny-fp8")),
                                       *open_checkpoint(import_fixture(folder, "tiny-fp8", DTypeChoice::float32)));
  EXPECT_THAT(
      result.differences,
      ::testing::Contains("layers/1/attention/q_proj: float8_e4m3fn against float32, other bits, equal values"));
  EXPECT_THAT(result.differences, ::testing::Contains(StartsWith("config.json: quantization_config: {")));
  EXPECT_EQ(result.num_equal, 4);  // gate and selection bias of two layers
}

TEST(Diff, NamesWhatOnlyOneHas) {
  const TemporaryFolder folder;
  HuggingFaceFolder changed = HuggingFaceFolder::read(fixture("demo"));
  changed.texts.erase("generation_config.json");
  changed.texts["tokenizer.json"] += "\n";
  changed.write(folder / "in");
  const auto result = diff_checkpoints(*open_checkpoint(fixture("demo")), *open_checkpoint(folder / "in"));
  EXPECT_THAT(result.differences,
              ElementsAre("tokenizer.json: the texts differ", "generation_config.json: only in " + fixture("demo")));
}

TEST(Info, SaysWhatTheCheckpointIs) {
  const TemporaryFolder folder;
  const auto source = open_checkpoint(import_fixture(folder, "tiny-fp8"));
  const std::string text = info_text(*source, false);
  EXPECT_THAT(text, HasSubstr("2 layers, hidden size 192, vocabulary 384, 512 positions"));
  EXPECT_THAT(text, HasSubstr("4 query and 2 key/value heads of 64, the first 32 dimensions rotated (theta 5000000)"));
  EXPECT_THAT(text, HasSubstr("6 experts of width 160, 2 for each token, sigmoid scores, biased choice"));
  EXPECT_THAT(text, HasSubstr("files         1\n"));
  EXPECT_THAT(text, HasSubstr("generation_config.json"));
  // Experts: 2 layers x 6 x 3 x 160 x 192 values of one byte, and (4 x 2 + 2 x 2) scales of four bytes for each expert.
  EXPECT_THAT(text, HasSubstr("experts           4          1,105,920     1.1 MB  float8_e4m3fn"));
}

TEST(Info, ListsWhereEachTensorIs) {
  const TemporaryFolder folder;
  const std::string path = import_fixture(folder, "tiny-fp8");
  const Hdf5Reader file(path);
  EXPECT_THAT(
      info_text(*open_checkpoint(path), true),
      ::testing::ContainsRegex(fmt::format("/model/layers/1/moe/experts/down +float8_e4m3fn +.6, 192, 160. +{} +{}",
                                           file.find("/model/layers/1/moe/experts/down")->offset, path)));
  EXPECT_THAT(
      info_text(*open_checkpoint(fixture("tiny-fp8")), true),
      ::testing::ContainsRegex("model.layers.1.self_attn.q_norm.weight +[a-z0-9]+ +.256. +[0-9]+ +.*model-0000"));
}

}  // namespace
}  // namespace m2
