// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>

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
using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string kW1 = "model.layers.0.block_sparse_moe.experts.0.w1.weight";
const std::string kExpert = "model.layers.1.block_sparse_moe.experts.2.w3.weight";
const std::string kNorm = "model.layers.2.input_layernorm.weight";

// The message that comes when a changed fixture is imported.
class Refusal : public ::testing::Test {
 protected:
  std::string message(const HuggingFaceFolder& changed) {
    changed.write(folder_ / "in");
    return import_message();
  }

  std::string import_message() {
    try {
      import_checkpoint(*open_checkpoint(folder_ / "in"), folder_ / "model.h5", DTypeChoice::keep);
    } catch (const Error& error) {
      EXPECT_THAT(folder_.names(), ::testing::ElementsAre("in"));  // nothing half-written
      return error.what();
    }
    return "no error";
  }

  TemporaryFolder folder_;
  HuggingFaceFolder f32_ = HuggingFaceFolder::read(fixture("tiny-f32"));
  HuggingFaceFolder fp8_ = HuggingFaceFolder::read(fixture("tiny-fp8"));
};

TEST_F(Refusal, MissingTensor) {
  f32_.tensors.erase(kExpert);
  EXPECT_EQ(message(f32_),
            fmt::format("'{}' does not hold the tensors its configuration asks for (1 defect)\n"
                        "  '{}' [96, 64] is missing\n"
                        "  expected are the names of the released checkpoints, as save_pretrained writes them",
                        folder_ / "in", kExpert));
}

TEST_F(Refusal, UnknownTensor) {
  f32_.tensors["model.layers.0.mlp.experts.gate_up_proj"] = f32_.tensors.at(kExpert);
  EXPECT_THAT(message(f32_),
              HasSubstr("(1 defect)\n  'model.layers.0.mlp.experts.gate_up_proj' is not a tensor of this model"));
}

TEST_F(Refusal, OtherShape) {
  f32_.tensors.at(kExpert).shape = {64, 96};
  EXPECT_THAT(message(f32_), HasSubstr(fmt::format("'{}' in '{}' has shape [64, 96], expected [96, 64]", kExpert,
                                                   folder_ / "in/model.safetensors")));
}

TEST_F(Refusal, OtherDType) {
  f32_.tensors.at(kNorm).dtype = DType::int32;
  EXPECT_THAT(message(f32_), HasSubstr(fmt::format("'{}' in '{}' is int32, expected float32 or bfloat16", kNorm,
                                                   folder_ / "in/model.safetensors")));
}

TEST_F(Refusal, ExpertsOfOneStackInTwoDTypes) {
  auto& expert = f32_.tensors.at(kExpert);
  expert.dtype = DType::bfloat16;
  expert.bytes.resize(expert.bytes.size() / 2);
  EXPECT_THAT(message(f32_),
              HasSubstr(fmt::format("'{}' is bfloat16, expected float32 as in the other parts of its stack", kExpert)));
}

TEST_F(Refusal, Fp8WithoutQuantizationConfig) {
  auto& expert = f32_.tensors.at(kW1);
  expert.dtype = DType::float8_e4m3fn;
  expert.bytes.resize(expert.bytes.size() / 4);
  EXPECT_THAT(message(f32_), HasSubstr("is float8_e4m3fn, expected float32 or bfloat16 unless config.json has a "
                                       "quantization_config"));
}

TEST_F(Refusal, ScalesThatAreMissing) {
  fp8_.tensors.erase(kW1 + "_scale_inv");
  EXPECT_THAT(message(fp8_), HasSubstr(fmt::format("'{}_scale_inv' [2, 2] is missing", kW1)));
}

TEST_F(Refusal, ScalesThatAreNotFloat32) {
  auto& scales = fp8_.tensors.at(kW1 + "_scale_inv");
  scales.dtype = DType::bfloat16;
  scales.bytes.resize(scales.bytes.size() / 2);
  EXPECT_THAT(message(fp8_), HasSubstr("is bfloat16, expected float32"));
}

TEST_F(Refusal, ScalesOfAWeightWithoutBlocks) {
  f32_.tensors[kW1 + "_scale_inv"] = {DType::float32, {1, 1}, std::string(4, '\0')};
  EXPECT_THAT(message(f32_),
              HasSubstr(fmt::format("'{}_scale_inv' holds the scales of a weight that is not float8_e4m3fn", kW1)));
}

TEST_F(Refusal, ManyDefectsAreCounted) {
  std::erase_if(f32_.tensors, [](const auto& entry) { return entry.first.find(".experts.7.") != std::string::npos; });
  EXPECT_THAT(message(f32_), AllOf(HasSubstr("(9 defects)")));
  std::filesystem::remove_all(folder_ / "in");
  std::erase_if(f32_.tensors, [](const auto& entry) { return entry.first.find(".experts.6.") != std::string::npos; });
  EXPECT_THAT(message(f32_), AllOf(HasSubstr("(18 defects)"), HasSubstr("\n  and 8 more\n")));
}

TEST_F(Refusal, TruncatedFile) {
  f32_.write(folder_ / "in");
  const std::string path = folder_ / "in/model.safetensors";
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1000);
  EXPECT_THAT(import_message(), HasSubstr(path));
}

TEST_F(Refusal, NoConfiguration) {
  f32_.texts.erase("config.json");
  EXPECT_EQ(message(f32_), fmt::format("cannot open '{}': No such file or directory", folder_ / "in/config.json"));
}

TEST_F(Refusal, NothingThere) {
  EXPECT_EQ(message({}).substr(0, 11), "cannot open");
  try {
    open_checkpoint(folder_ / "nowhere");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.what(), fmt::format("'{}' does not exist; expected an HDF5 checkpoint or a Hugging Face folder",
                                        folder_ / "nowhere"));
  }
}

TEST_F(Refusal, EmptyText) {
  f32_.texts["chat_template.jinja"] = "";
  EXPECT_EQ(message(f32_),
            fmt::format("{}: chat_template.jinja is empty: copy it again, or remove it", folder_ / "in"));
}

}  // namespace
}  // namespace m2
