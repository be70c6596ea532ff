// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/convert/merge.hpp"

#include <gmock/gmock.h>

#include <filesystem>

#include "checkpoint/convert/convert.hpp"
#include "checkpoint/formats/open_checkpoint.hpp"
#include "io/temporary_folder.hpp"
#include "model/adapted.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::string kLora = std::string(M2_TEST_DATA) + "/lora-tiny";

std::string fixture(const char* name) { return std::string(M2_TEST_DATA) + "/" + name; }

std::vector<std::byte> bytes_of(const TensorSource& source, const StoredTensor& tensor) {
  std::vector<std::byte> bytes(tensor.size_bytes());
  source.read(*source.find(tensor.name), 0, bytes);
  return bytes;
}

std::vector<float> floats_of(const TensorSource& source, const StoredTensor& tensor) {
  const std::vector<std::byte> bytes = bytes_of(source, tensor);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// PEFT's merge adds the same products; the order of three sums and the roundings differ, each by half a unit of the
// larger operand: four units of the largest weight.
TEST(Merge, WeightsAreThoseOfPeft) {
  const TemporaryFolder folder;
  const auto base = open_checkpoint(fixture("tiny-f32"));
  const MergedCheckpoint merged = merge_adapter(*base, kLora + "/adapter", exec());
  EXPECT_LT(merged.probe.mean_difference, 1e-5);
  EXPECT_GT(merged.probe.mean_change, 0.01);
  export_checkpoint(*merged.source, folder / "out", DTypeChoice::keep, kDefaultShardBytes);
  import_checkpoint(*merged.source, folder / "out.h5", DTypeChoice::keep);
  std::filesystem::create_directory(folder / "peft");
  std::filesystem::copy_file(kLora + "/merged.safetensors", folder / "peft/model.safetensors");
  std::filesystem::copy_file(fixture("tiny-f32") + "/config.json", folder / "peft/config.json");
  const auto expected = open_checkpoint(folder / "peft");
  for (const std::string& path : {folder / "out", folder / "out.h5"}) {
    const auto actual = open_checkpoint(path);
    for (const StoredTensor& tensor : expected->tensors()) {
      const std::vector<float> values = floats_of(*expected, tensor);
      EXPECT_TRUE(all_close(floats_of(*actual, tensor), values, 4 * 0x1p-24 * max_abs(values))) << tensor.name;
    }
  }
}

TEST(Merge, KeepsDTypesAndWhatHasNoAdapter) {
  for (const char* name : {"tiny-bf16", "tiny-fp8"}) {
    SCOPED_TRACE(name);
    const TemporaryFolder folder;
    MiniMaxM2ForCausalLM model = Fixture(name).model(DType::float32);
    add_all_adapters(model, /*is_random=*/true);
    write_adapter(model, folder / "adapter", name);
    const auto base = open_checkpoint(fixture(name));
    const MergedCheckpoint merged = merge_adapter(*base, folder / "adapter", exec());
    ASSERT_EQ(merged.source->tensors().size(), base->tensors().size());
    std::size_t num_changed = 0;
    for (std::size_t i = 0; i < base->tensors().size(); ++i) {
      const StoredTensor &before = base->tensors()[i], &after = merged.source->tensors()[i];
      EXPECT_EQ(after.name, before.name);
      if (before.kind != ParameterKind::router) {
        EXPECT_EQ(after.dtype, before.dtype) << after.name;
      }
      const bool is_adapted =
          before.kind != ParameterKind::norm && before.kind != ParameterKind::embedding && !before.is_vector();
      const bool is_changed = bytes_of(*merged.source, after) != bytes_of(*base, before);
      EXPECT_TRUE(is_adapted || !is_changed) << after.name;
      num_changed += is_changed && !before.is_scale;
    }
    EXPECT_EQ(num_changed, model.adapters().size());
  }
}

TEST(Merge, FailsForAnAdapterOfAnotherModel) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "adapter");
  std::filesystem::copy_file(kLora + "/adapter/adapter_config.json", folder / "adapter/adapter_config.json");
  std::filesystem::copy_file(kLora + "/merged.safetensors", folder / "adapter/adapter_model.safetensors");
  const auto base = open_checkpoint(fixture("tiny-f32"));
  EXPECT_THAT([&] { merge_adapter(*base, folder / "adapter", exec()); },
              ThrowsMessage<Error>(HasSubstr("lm_head.weight: neither lora_A nor lora_B")));
}

}  // namespace
}  // namespace m2::test
