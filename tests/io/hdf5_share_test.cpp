// SPDX-License-Identifier: Apache-2.0
// One checkpoint file in several processes: several readers and writers of it here.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "core/error.hpp"
#include "io/hash.hpp"
#include "io/hdf5_example.hpp"

namespace m2 {
namespace {

using test::bytes_of;
using test::Hdf5Example;
using test::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Hdf5Share, ATableIsEnoughToRead) {
  const TemporaryFolder folder;
  const Hdf5Example example;
  example.write(folder / "a.h5");
  const Hdf5Reader first(folder / "a.h5");
  const Hdf5Reader second(folder / "a.h5", first.table());
  ASSERT_EQ(second.datasets().size(), first.datasets().size());
  for (std::size_t i = 0; i < first.datasets().size(); ++i) {
    const Hdf5Dataset &a = first.datasets()[i], &b = second.datasets()[i];
    EXPECT_EQ(b.name, a.name);
    EXPECT_EQ(b.dtype, a.dtype);
    EXPECT_EQ(b.shape, a.shape);
    EXPECT_EQ(b.is_text, a.is_text);
    EXPECT_EQ(b.offset, a.offset);
    EXPECT_EQ(b.hashes, a.hashes);
    EXPECT_EQ(test::read_all(second, b), example.contents[i]);  // verified slab by slab
  }
  EXPECT_EQ(second.text("/config"), first.text("/config"));
}

TEST(Hdf5Share, AnotherFileInItsPlaceIsNoticed) {
  const TemporaryFolder folder;
  Hdf5Example().write(folder / "a.h5");
  const std::string table = Hdf5Reader(folder / "a.h5").table();
  const std::size_t size = test::read_bytes(folder / "a.h5").size();
  test::write_bytes(folder / "a.h5", "short");
  EXPECT_THAT([&] { Hdf5Reader(folder / "a.h5", table); },
              ThrowsMessage<Error>(fmt::format("'{}' has 5 bytes here and {} where the first rank opened it: every "
                                               "rank must see the same file",
                                               folder / "a.h5", size)));
  EXPECT_THAT([&] { Hdf5Reader(folder / "b.h5", table); }, ThrowsMessage<Error>(HasSubstr("cannot open")));
}

TEST(Hdf5Share, TwoWritersMakeTheSameFileAsOne) {
  const TemporaryFolder folder;
  const Hdf5Example example;
  example.write(folder / "one.h5");
  Hdf5Writer creator(folder / "two.h5", example.plans);
  Hdf5Writer guest = Hdf5Writer::join(creator.invitation());
  for (std::size_t i = 0; i < example.plans.size(); ++i) {
    const auto bytes = bytes_of(example.contents[i]);
    if (i % 2 == 0) {
      creator.write_all(i, bytes);
      continue;
    }
    guest.write(i, 0, bytes);
    std::vector<std::uint64_t> hashes;
    const std::size_t slab_bytes = guest.datasets()[i].slab_bytes();
    for (std::size_t at = 0; at < bytes.size(); at += slab_bytes)
      hashes.push_back(hash64(bytes.subspan(at, slab_bytes)));
    creator.set_hashes(i, hashes);
  }
  guest.leave();
  creator.finish();
  EXPECT_EQ(test::read_bytes(folder / "two.h5"), test::read_bytes(folder / "one.h5"));
  EXPECT_THAT(folder.names(), ElementsAre("one.h5", "two.h5"));
}

TEST(Hdf5Share, AWriterThatFailsRemovesTheFile) {
  const TemporaryFolder folder;
  const Hdf5Writer creator(folder / "a.h5", Hdf5Example().plans);
  {
    const Hdf5Writer guest = Hdf5Writer::join(creator.invitation());
  }
  EXPECT_THAT(folder.names(), ElementsAre());
  EXPECT_THAT([&] { Hdf5Writer::join(creator.invitation()); }, ThrowsMessage<Error>(HasSubstr("cannot open")));
}

class Alignment : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(Alignment, LargeDatasetsBeginAtMultiples) {
  const TemporaryFolder folder;
  const std::string content(GetParam() <= 1 << 20 ? 3'000'000 : 20'000'000, 'x');
  const auto extent = std::int64_t(content.size());
  Hdf5Writer writer(folder / "a.h5",
                    {{"/small", DType::int8, {3}}, {"/b", DType::uint8, {extent}}, {"/c", DType::uint8, {extent}}},
                    GetParam());
  writer.write_all(0, bytes_of(std::string("abc")));
  for (const std::size_t i : {1, 2}) writer.write_all(i, bytes_of(content));
  writer.finish();
  const Hdf5Reader reader(folder / "a.h5");
  for (const char* path : {"/b", "/c"}) {
    EXPECT_EQ(reader.find(path)->offset % GetParam(), 0u) << path;
    EXPECT_EQ(test::read_all(reader, *reader.find(path)), content);
  }
  EXPECT_EQ(test::read_all(reader, *reader.find("/small")), "abc");
}

INSTANTIATE_TEST_SUITE_P(PowersOfTwo, Alignment, ::testing::Values(1u << 12, 1u << 16, 1u << 20, 1u << 24));

TEST(Hdf5Alignment, OthersAreRefused) {
  const TemporaryFolder folder;
  for (const std::uint64_t bytes : {0ull, 2048ull, 4097ull, 3ull << 20, 2ull << 30}) {
    EXPECT_THAT([&] { Hdf5Writer(folder / "a.h5", {{"/x", DType::int8, {3}}}, bytes); },
                ThrowsMessage<Error>(fmt::format("an alignment of {} bytes is not possible; expected a power of two "
                                                 "from 4096 to 1073741824",
                                                 bytes)));
  }
  EXPECT_THAT(folder.names(), ElementsAre());
}

}  // namespace
}  // namespace m2
