// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors_checkpoint.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <set>

#include "core/error.hpp"
#include "io/safetensors_writer.hpp"
#include "io/temporary_folder.hpp"

namespace m2 {
namespace {

using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr const char* kIndex = "model.safetensors.index.json";

void write_tensors(const std::string& path, const std::vector<std::string>& names) {
  std::vector<TensorEntry> plans;
  for (const std::string& name : names) plans.push_back({name, DType::uint8, {4}});
  SafetensorsWriter writer(path, plans, {});
  for (std::size_t i = 0; i < names.size(); ++i) {
    writer.write(i, 0, test::bytes_of((names[i] + "    ").substr(0, 4)));
  }
  writer.finish();
}

void write_index(const TemporaryFolder& folder, const std::map<std::string, std::string>& weight_map) {
  test::write_bytes(folder / kIndex,
                    nlohmann::json{{"metadata", {{"total_size", 1}}}, {"weight_map", weight_map}}.dump());
}

auto refuses(const TemporaryFolder& folder) {
  return [&folder] { SafetensorsCheckpoint checkpoint(folder.path()); };
}

TEST(SafetensorsCheckpoint, OneFileNeedsNoIndex) {
  const TemporaryFolder folder;
  write_tensors(folder / "model.safetensors", {"a", "b"});
  const SafetensorsCheckpoint checkpoint(folder.path());
  EXPECT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_NE(checkpoint.find("b"), nullptr);
  EXPECT_EQ(checkpoint.find("c"), nullptr);
}

TEST(SafetensorsCheckpoint, FollowsTheWeightMapOfMisnumberedFiles) {
  const SafetensorsCheckpoint checkpoint(M2_TEST_DATA "/tiny-fp8");
  EXPECT_EQ(checkpoint.files().size(), 3u);  // the names say 5; reference.safetensors is not of the checkpoint
  const auto index = nlohmann::json::parse(test::read_bytes(M2_TEST_DATA "/tiny-fp8/model.safetensors.index.json"));
  ASSERT_EQ(checkpoint.tensors().size(), index["weight_map"].size());
  for (const auto& [name, file] : index["weight_map"].items()) {
    const auto* const tensor = checkpoint.find(name);
    ASSERT_NE(tensor, nullptr) << name;
    EXPECT_EQ(tensor->entry->name, name);
    EXPECT_THAT(tensor->file->path(), ::testing::EndsWith("/" + file.get<std::string>()));
  }
}

TEST(SafetensorsCheckpoint, StaysValidWhenMoved) {
  SafetensorsCheckpoint first(M2_TEST_DATA "/tiny-fp8");
  const std::string name = first.tensors().back().entry->name;
  const SafetensorsCheckpoint second = std::move(first);
  ASSERT_NE(second.find(name), nullptr);
  EXPECT_EQ(second.find(name)->entry->name, name);
  EXPECT_EQ(second.find(name)->file->bytes(*second.find(name)->entry).size(), second.find(name)->entry->size_bytes);
}

TEST(SafetensorsCheckpoint, FolderWithoutACheckpointIsRefused) {
  const TemporaryFolder folder;
  EXPECT_THAT(refuses(folder),
              ThrowsMessage<Error>(HasSubstr(
                  "holds neither model.safetensors.index.json nor model.safetensors: it is no Hugging Face")));
}

TEST(SafetensorsCheckpoint, DisagreementIsRefusedWithTensorAndFile) {
  const TemporaryFolder folder;
  write_tensors(folder / "one", {"a", "b"});
  write_tensors(folder / "two", {"c"});
  write_index(folder, {{"a", "one"}, {"b", "one"}, {"c", "two"}, {"d", "two"}});
  EXPECT_THAT(refuses(folder),
              ThrowsMessage<Error>(AllOf(HasSubstr("tensor 'd' is not in "), HasSubstr("/two, where"))));
  write_index(folder, {{"a", "one"}, {"c", "two"}});
  EXPECT_THAT(refuses(folder),
              ThrowsMessage<Error>(AllOf(HasSubstr("tensor 'b' is in "), HasSubstr("does not place it there"))));
  write_index(folder, {{"a", "one"}, {"b", "two"}, {"c", "two"}});
  EXPECT_THAT(refuses(folder), ThrowsMessage<Error>(HasSubstr("tensor 'b' is in ")));
  write_index(folder, {{"a", "one"}, {"b", "one"}, {"c", "three"}});
  EXPECT_THAT(refuses(folder),
              ThrowsMessage<Error>(AllOf(HasSubstr("/three is missing"), HasSubstr("holds tensor 'c'"))));
}

TEST(SafetensorsCheckpoint, FilesElsewhereAreRefused) {
  const TemporaryFolder folder;
  for (const std::string name : {"../one", "/etc/passwd", "sub/one", "..", ".", "", "a..b"}) {
    write_index(folder, {{"a", name}});
    EXPECT_THAT(refuses(folder), ThrowsMessage<Error>(HasSubstr("tensor 'a' is said to be in '" + name +
                                                                "'; expected the name of a file")))
        << name;
  }
}

TEST(SafetensorsCheckpoint, BadIndexIsRefused) {
  const TemporaryFolder folder;
  const auto with_index = [&](const std::string& text) {
    test::write_bytes(folder / kIndex, text);
    return refuses(folder);
  };
  EXPECT_THAT(with_index("{"), ThrowsMessage<Error>(HasSubstr("index.json: not valid JSON: at byte 2: syntax error")));
  EXPECT_THAT(with_index("[]"), ThrowsMessage<Error>(HasSubstr("expected an object with an object 'weight_map'")));
  EXPECT_THAT(with_index("{\"weight_map\":[]}"),
              ThrowsMessage<Error>(HasSubstr("expected an object with an object 'weight_map'")));
  EXPECT_THAT(with_index("{\"weight_map\":{}}"), ThrowsMessage<Error>(HasSubstr("weight_map names no tensor")));
  EXPECT_THAT(with_index("{\"weight_map\":{\"a\":1}}"),
              ThrowsMessage<Error>(HasSubstr("the file of tensor 'a' must be a string, found number")));
  EXPECT_THAT(with_index("{\"weight_map\":{\"a\":\"one\",\"a\":\"two\"}}"),
              ThrowsMessage<Error>(HasSubstr("key 'a' is given twice")));
  EXPECT_THAT(with_index("{\"weight_map\":{\"a\":\"\xff\"}}"), ThrowsMessage<Error>(HasSubstr("ill-formed UTF-8")));
  EXPECT_THAT(with_index(std::string(1'000'000, '[')),
              ThrowsMessage<Error>(HasSubstr("nested deeper than 100 levels")));
}

TEST(SafetensorsCheckpoint, OpensAHundredFiles) {
  const TemporaryFolder folder;
  std::map<std::string, std::string> weight_map;
  for (int f = 0; f < 125; ++f) {
    const std::string file = fmt::format("model-{:05}-of-00130.safetensors", f);
    std::vector<std::string> names;
    for (int i = 0; i < 20; ++i) weight_map[names.emplace_back(fmt::format("t.{}.{}", f, i))] = file;
    write_tensors(folder / file, names);
  }
  write_index(folder, weight_map);
  const SafetensorsCheckpoint checkpoint(folder.path());
  EXPECT_EQ(checkpoint.files().size(), 125u);
  EXPECT_EQ(checkpoint.tensors().size(), 2500u);
}

}  // namespace
}  // namespace m2
