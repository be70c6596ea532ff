// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "checkpoint/convert/convert.hpp"
#include "checkpoint/formats/open_checkpoint.hpp"
#include "checkpoint/formats/shards.hpp"
#include "checkpoint/hugging_face_folder.hpp"
#include "core/error.hpp"
#include "io/temporary_folder.hpp"

namespace m2 {
namespace {

using test::fixture;
using test::HuggingFaceFolder;
using test::TemporaryFolder;
using ::testing::ElementsAre;

class RoundTrip : public ::testing::TestWithParam<std::string> {};

TEST_P(RoundTrip, GivesTheSameTensorsAndTexts) {
  const TemporaryFolder folder;
  const std::string original = fixture(GetParam());
  import_checkpoint(*open_checkpoint(original), folder / "model.h5", DTypeChoice::keep);
  export_checkpoint(*open_checkpoint(folder / "model.h5"), folder / "out", DTypeChoice::keep, kDefaultShardBytes);

  const HuggingFaceFolder before = HuggingFaceFolder::read(original);
  const HuggingFaceFolder after = HuggingFaceFolder::read(folder / "out");
  EXPECT_EQ(before.texts, after.texts);  // config.json byte for byte, with every key
  ASSERT_EQ(before.tensors.size(), after.tensors.size());
  for (const auto& [name, tensor] : before.tensors) EXPECT_TRUE(after.tensors.at(name) == tensor) << name;
  EXPECT_THAT(folder.names(), ElementsAre("model.h5", "out"));
}

INSTANTIATE_TEST_SUITE_P(Fixtures, RoundTrip, ::testing::Values("tiny-f32", "tiny-bf16", "tiny-fp8", "demo"),
                         test::fixture_test_name);

TEST(RoundTripSizes, SmallShardsAreNumberedAndIndexed) {
  const TemporaryFolder folder;
  const std::uint64_t limit = 1'000'000;
  export_checkpoint(*open_checkpoint(fixture("tiny-fp8")), folder / "out", DTypeChoice::keep, limit);

  const HuggingFaceFolder before = HuggingFaceFolder::read(fixture("tiny-fp8"));
  EXPECT_TRUE(HuggingFaceFolder::read(folder / "out").tensors == before.tensors);
  const auto index = nlohmann::json::parse(read_text_file(folder / "out/model.safetensors.index.json"));
  std::uint64_t total_bytes = 0;
  for (const auto& [name, tensor] : before.tensors) total_bytes += tensor.bytes.size();
  EXPECT_EQ(index["metadata"]["total_size"], total_bytes);
  EXPECT_EQ(index["weight_map"].size(), before.tensors.size());
  const SafetensorsCheckpoint written(folder / "out");
  EXPECT_EQ(written.files().size(), (total_bytes + limit - 1) / limit);
  for (std::size_t i = 0; i < written.files().size(); ++i) {
    const std::string name = fmt::format("/model-{:05}-of-{:05}.safetensors", i + 1, written.files().size());
    EXPECT_TRUE(std::filesystem::exists(folder / "out" + name)) << name;
  }
}

TEST(RoundTripSizes, ATensorAboveTheLimitHasAFileOfItsOwn) {
  std::vector<StoredTensor> tensors(3);
  for (int i = 0; i < 3; ++i) {
    tensors[i].shape = {i == 1 ? 100 : 10};
    tensors[i].parts = {std::string(1, char('a' + i))};
  }
  const Shards shards = plan_shards(tensors, 80);
  ASSERT_EQ(shards.files.size(), 3u);
  EXPECT_EQ(shards.files[1][0].name, "b");
  EXPECT_EQ(shards.file_name(2), "model-00003-of-00003.safetensors");
  EXPECT_EQ(plan_shards(tensors, 480).file_name(0), "model.safetensors");
}

TEST(RoundTripSizes, ExportLeavesAnythingThatIsThereAlone) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "empty");
  const auto source = open_checkpoint(fixture("tiny-f32"));
  export_checkpoint(*source, folder / "empty/", DTypeChoice::keep, kDefaultShardBytes);
  EXPECT_TRUE(std::filesystem::exists(folder / "empty/model.safetensors"));
  try {
    export_checkpoint(*source, folder / "empty", DTypeChoice::keep, kDefaultShardBytes);
    FAIL() << "a folder with files was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.what(),
              fmt::format("'{}' exists already and is not an empty folder: choose another name or remove it",
                          folder / "empty"));
  }
}

}  // namespace
}  // namespace m2
