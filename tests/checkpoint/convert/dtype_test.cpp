// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "checkpoint/convert/convert.hpp"
#include "checkpoint/formats/open_checkpoint.hpp"
#include "checkpoint/hugging_face_folder.hpp"
#include "core/error.hpp"
#include "io/temporary_folder.hpp"

namespace m2 {
namespace {

using test::fixture;
using test::HuggingFaceFolder;
using test::TemporaryFolder;
using Json = nlohmann::json;

bool is_router(const std::string& name) {
  return name.ends_with("gate.weight") || name.ends_with("e_score_correction_bias");
}

bool becomes_fp8(const std::string& name) {
  return name.ends_with("_proj.weight") || name.find(".experts.") != std::string::npos;
}

// The expansion as facts, with plain loops: value times the scale of its 128 x 128 block.
std::vector<float> expanded(const HuggingFaceFolder& folder, const std::string& name) {
  std::vector<float> values = folder.values(name);
  if (folder.tensors.at(name).dtype != DType::float8_e4m3fn) return values;
  const std::vector<float> scale_inv = folder.values(name + "_scale_inv");
  const auto& shape = folder.tensors.at(name).shape;
  const std::int64_t num_block_columns = (shape[1] + 127) / 128;
  for (std::int64_t i = 0; i < shape[0]; ++i) {
    for (std::int64_t j = 0; j < shape[1]; ++j) {
      values[i * shape[1] + j] *= scale_inv[i / 128 * num_block_columns + j / 128];
    }
  }
  return values;
}

// What a checkpoint holds after import with `dtype`, as a Hugging Face folder.
HuggingFaceFolder converted(const TemporaryFolder& folder, const std::string& original, DTypeChoice dtype) {
  import_checkpoint(*open_checkpoint(original), folder / "model.h5", dtype);
  export_checkpoint(*open_checkpoint(folder / "model.h5"), folder / "out", DTypeChoice::keep, kDefaultShardBytes);
  return HuggingFaceFolder::read(folder / "out");
}

Json config_of(const HuggingFaceFolder& folder) { return Json::parse(folder.texts.at("config.json")); }

TEST(ImportDType, Float32ExpandsBlocksExactly) {
  const TemporaryFolder folder;
  const HuggingFaceFolder before = HuggingFaceFolder::read(fixture("tiny-fp8"));
  const HuggingFaceFolder after = converted(folder, fixture("tiny-fp8"), DTypeChoice::float32);
  for (const auto& [name, tensor] : before.tensors) {
    if (name.ends_with("_scale_inv")) {
      EXPECT_FALSE(after.tensors.contains(name)) << name;
    } else if (is_router(name)) {
      EXPECT_TRUE(after.tensors.at(name) == tensor) << name;
    } else {
      EXPECT_EQ(after.tensors.at(name).dtype, DType::float32) << name;
      EXPECT_EQ(after.values(name), expanded(before, name)) << name;
    }
  }
}

TEST(ImportDType, Bfloat16RoundsTheExpandedValueOnce) {
  const TemporaryFolder folder;
  const HuggingFaceFolder before = HuggingFaceFolder::read(fixture("tiny-fp8"));
  const HuggingFaceFolder after = converted(folder, fixture("tiny-fp8"), DTypeChoice::bfloat16);
  for (const auto& [name, tensor] : before.tensors) {
    if (name.ends_with("_scale_inv")) continue;
    if (is_router(name)) {
      EXPECT_TRUE(after.tensors.at(name) == tensor) << name;
      continue;
    }
    EXPECT_EQ(after.tensors.at(name).dtype, DType::bfloat16) << name;
    std::vector<float> expected = expanded(before, name);
    for (float& value : expected) value = float(Bf16(value));
    EXPECT_EQ(after.values(name), expected) << name;
  }
}

TEST(ImportDType, TheConfigurationSaysSoAndKeepsEveryOtherKey) {
  const TemporaryFolder folder;
  Json before = config_of(HuggingFaceFolder::read(fixture("tiny-fp8")));
  Json after = config_of(converted(folder, fixture("tiny-fp8"), DTypeChoice::float32));
  EXPECT_FALSE(after.contains("quantization_config"));
  EXPECT_EQ(after.value("dtype", after.value("torch_dtype", "")), "float32");
  before.erase("quantization_config");
  for (const char* key : {"dtype", "torch_dtype"}) after.erase(key);
  EXPECT_EQ(before, after);
}

// A quantised value differs from its original by half a step: 2^-4 of the value, or 2^-10 of the scale where e4m3fn is
// subnormal; the division by the scale and the product with it add a few float32 roundings.
void expect_quantised(const HuggingFaceFolder& before, const HuggingFaceFolder& after, const std::string& name) {
  ASSERT_EQ(after.tensors.at(name).dtype, DType::float8_e4m3fn) << name;
  const std::vector<float> original = before.values(name), restored = expanded(after, name);
  const std::vector<float> scale_inv = after.values(name + "_scale_inv");
  const std::int64_t rows = before.tensors.at(name).shape[0], columns = before.tensors.at(name).shape[1];
  const std::int64_t num_block_columns = (columns + 127) / 128;
  std::vector<float> block_max(scale_inv.size(), 0);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      const std::int64_t block = i / 128 * num_block_columns + j / 128, at = i * columns + j;
      const double bound = 0x1p-4 * std::abs(original[at]) * (1 + 0x1p-20) + 0x1p-10 * scale_inv[block];
      ASSERT_LE(std::abs(double(restored[at]) - double(original[at])), bound) << name << " " << i << " " << j;
      block_max[block] = std::max(block_max[block], std::abs(original[at]));
    }
  }
  for (std::size_t block = 0; block < block_max.size(); ++block) {
    EXPECT_EQ(scale_inv[block], block_max[block] == 0 ? 1.0f : block_max[block] / 448.0f) << name << " block " << block;
  }
}

class ExportFloat8 : public ::testing::TestWithParam<std::string> {};

TEST_P(ExportFloat8, QuantisesProjectionsAndExpertsOnly) {
  const TemporaryFolder folder;
  HuggingFaceFolder before = HuggingFaceFolder::read(fixture(GetParam()));
  const std::string zeros = "model.layers.1.self_attn.k_proj.weight";
  before.tensors.at(zeros).bytes.assign(before.tensors.at(zeros).bytes.size(), '\0');
  before.write(folder / "in");
  export_checkpoint(*open_checkpoint(folder / "in"), folder / "out", DTypeChoice::float8, kDefaultShardBytes);
  const HuggingFaceFolder after = HuggingFaceFolder::read(folder / "out");
  std::size_t num_quantised = 0;
  for (const auto& [name, tensor] : before.tensors) {
    if (becomes_fp8(name)) {
      expect_quantised(before, after, name);
      ++num_quantised;
    } else {
      EXPECT_TRUE(after.tensors.at(name) == tensor) << name;
    }
  }
  EXPECT_EQ(after.tensors.size(), before.tensors.size() + num_quantised);
  EXPECT_EQ(after.values(zeros + "_scale_inv")[0], 1.0f);

  const Json quantization = config_of(after)["quantization_config"];
  EXPECT_EQ(quantization["quant_method"], "fp8");
  EXPECT_EQ(quantization["weight_block_size"], Json({128, 128}));
  EXPECT_EQ(quantization["modules_to_not_convert"], Json({"gate", "e_score_correction_bias", "lm_head"}));
}

INSTANTIATE_TEST_SUITE_P(Fixtures, ExportFloat8, ::testing::Values("tiny-f32", "tiny-bf16"), test::fixture_test_name);

TEST(ExportDType, Float8KeepsWhatIsQuantisedAlready) {
  const TemporaryFolder folder;
  export_checkpoint(*open_checkpoint(fixture("tiny-fp8")), folder / "out", DTypeChoice::float8, kDefaultShardBytes);
  const HuggingFaceFolder before = HuggingFaceFolder::read(fixture("tiny-fp8"));
  const HuggingFaceFolder after = HuggingFaceFolder::read(folder / "out");
  EXPECT_TRUE(before.tensors == after.tensors);
  EXPECT_EQ(before.texts, after.texts);
}

TEST(ExportDType, WhatCannotBeQuantisedIsNamed) {
  const TemporaryFolder folder;
  HuggingFaceFolder before = HuggingFaceFolder::read(fixture("tiny-f32"));
  const float infinity = std::numeric_limits<float>::infinity();
  std::memcpy(before.tensors.at("model.layers.1.self_attn.k_proj.weight").bytes.data(), &infinity, sizeof(infinity));
  before.write(folder / "in");
  try {
    export_checkpoint(*open_checkpoint(folder / "in"), folder / "out", DTypeChoice::float8, kDefaultShardBytes);
    FAIL() << "an infinity was quantised";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::StartsWith("layers/1/attention/k_proj cannot be quantised: "));
  }
  EXPECT_THAT(folder.names(), ::testing::ElementsAre("in"));  // nothing half-written
}

}  // namespace
}  // namespace m2
