// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <thread>

#include "core/error.hpp"
#include "io/file_size_limit.hpp"
#include "io/safetensors_writer.hpp"
#include "io/temporary_folder.hpp"

namespace m2 {
namespace {

using test::bytes_of;
using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::vector<TensorEntry> kPlans{
    {"byte", DType::uint8, {3}},
    {"fp8", DType::float8_e4m3fn, {1, 2}},
    {"wide", DType::float32, {2}},
    {"none", DType::bfloat16, {0, 4}},
};

std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(SafetensorsWriter, WritesWhatTheReaderReads) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder / "a", kPlans, {{"format", "pt"}});
  writer.write(2, 4, bytes_of(std::string("EFGH")));  // in pieces, and in any order
  writer.write(2, 0, bytes_of(std::string("ABCD")));
  writer.write(0, 0, bytes_of(std::string("xyz")));
  writer.write(1, 0, bytes_of(std::string("12")));
  writer.finish();
  EXPECT_THAT(folder.names(), ElementsAre("a"));

  const SafetensorsFile file(folder / "a");
  EXPECT_EQ(file.metadata().at("format"), "pt");
  ASSERT_EQ(file.entries().size(), 4u);
  for (const TensorEntry& plan : kPlans) {
    const TensorEntry* const entry = file.find(plan.name);
    ASSERT_NE(entry, nullptr) << plan.name;
    EXPECT_EQ(entry->dtype, plan.dtype);
    EXPECT_EQ(entry->shape, plan.shape);
    EXPECT_EQ(entry->offset % size_bytes(entry->dtype), 0u) << plan.name << " must be aligned to its elements";
  }
  EXPECT_EQ(text(file.bytes(*file.find("wide"))), "ABCDEFGH");
  EXPECT_EQ(text(file.bytes(*file.find("byte"))), "xyz");
  EXPECT_EQ(text(file.bytes(*file.find("fp8"))), "12");
  EXPECT_EQ(file.find("other"), nullptr);
}

TEST(SafetensorsWriter, ReaderCopiesAnyPiece) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder / "a", {{"x", DType::uint8, {6}}}, {});
  writer.write(0, 0, bytes_of(std::string("abcdef")));
  writer.finish();
  const SafetensorsFile file(folder / "a");
  std::string out(3, ' ');
  file.read(file.entries()[0], 2, std::as_writable_bytes(std::span(out)));
  EXPECT_EQ(out, "cde");
  EXPECT_THAT([&] { file.read(file.entries()[0], 4, std::as_writable_bytes(std::span(out))); },
              ThrowsMessage<Error>(HasSubstr("cannot read 3 bytes from byte 4 of tensor 'x', which has 6")));
}

TEST(SafetensorsWriter, IsFedByManyThreads) {
  const TemporaryFolder folder;
  constexpr std::size_t kPiece = 1000, kNumPieces = 64;
  std::string content(kPiece * kNumPieces, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = char(i / 7);
  SafetensorsWriter writer(folder / "a", {{"x", DType::uint8, {std::int64_t(content.size())}}}, {});
  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t p = t; p < kNumPieces; p += 4) {
        writer.write(0, p * kPiece, bytes_of(content).subspan(p * kPiece, kPiece));
      }
    });
  }
  threads.clear();
  writer.finish();
  const SafetensorsFile file(folder / "a");
  EXPECT_EQ(text(file.bytes(file.entries()[0])), content);
}

TEST(SafetensorsWriter, MissingBytesAreAnErrorAndNothingIsLeft) {
  const TemporaryFolder folder;
  {
    SafetensorsWriter writer(folder / "a", {{"x", DType::float32, {2}}}, {});
    writer.write(0, 0, bytes_of(std::string("ABCD")));
    EXPECT_THAT([&] { writer.write(0, 4, bytes_of(std::string("12345"))); },
                ThrowsMessage<Error>(HasSubstr("cannot write 5 bytes at byte 4 of tensor 'x', which has 8")));
    EXPECT_THAT([&] { writer.finish(); },
                ThrowsMessage<Error>(HasSubstr("4 bytes of tensor 'x' were written, expected 8")));
  }
  EXPECT_THAT(folder.names(), ElementsAre());
}

TEST(SafetensorsWriter, BadPlansAreRefused) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { SafetensorsWriter(folder / "a", {{"x", DType::int8, {1}}, {"x", DType::int8, {1}}}, {}); },
              ThrowsMessage<Error>(HasSubstr("tensor 'x' is planned twice")));
  EXPECT_THAT([&] { SafetensorsWriter(folder / "a", {{"x", DType::int8, {-1}}}, {}); },
              ThrowsMessage<Error>(HasSubstr("tensor 'x' cannot have shape [-1]")));
  EXPECT_THAT([&] { SafetensorsWriter(folder / "a", {{"\xff", DType::int8, {1}}}, {}); },
              ThrowsMessage<Error>(HasSubstr("must be valid UTF-8")));
  EXPECT_THAT(folder.names(), ElementsAre());
}

TEST(SafetensorsWriter, FullDiskIsFoundBeforeTheWork) {
  const TemporaryFolder folder;
  const test::FileSizeLimit limit(10'000);
  EXPECT_THAT([&] { SafetensorsWriter(folder / "a", {{"x", DType::float32, {100'000}}}, {}); },
              ThrowsMessage<Error>(AllOf(HasSubstr(folder / "a"), HasSubstr("more bytes are needed"))));
  EXPECT_THAT(folder.names(), ElementsAre());
}

TEST(SafetensorsFile, ReadsFilesOfTheReferenceImplementation) {
  const SafetensorsFile file(M2_TEST_DATA "/tiny-bf16/model.safetensors");
  const TensorEntry* const embedding = file.find("model.embed_tokens.weight");
  ASSERT_NE(embedding, nullptr);
  EXPECT_EQ(embedding->dtype, DType::bfloat16);
  ASSERT_EQ(embedding->shape.size(), 2u);
  std::vector<std::byte> copy(embedding->size_bytes);
  file.read(*embedding, 0, copy);
  EXPECT_TRUE(std::ranges::equal(copy, file.bytes(*embedding)));
  EXPECT_TRUE(std::ranges::is_sorted(file.entries(), {}, &TensorEntry::offset));
}

TEST(SafetensorsFile, IsTruncatedNowhereUnnoticed) {
  const TemporaryFolder folder;
  const std::string whole = test::read_bytes(M2_TEST_DATA "/tiny-bf16/model.safetensors");
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{5}, std::size_t{100}, whole.size() / 2, whole.size() - 1}) {
    test::write_bytes(folder / "a", whole.substr(0, size));
    EXPECT_THAT([&] { SafetensorsFile(folder / "a"); }, ThrowsMessage<Error>(HasSubstr("download it again"))) << size;
  }
}

}  // namespace
}  // namespace m2
