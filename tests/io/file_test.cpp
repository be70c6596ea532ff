// SPDX-License-Identifier: Apache-2.0
#include "io/file.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <vector>

#include "core/error.hpp"
#include "io/file_size_limit.hpp"
#include "io/hash.hpp"
#include "io/memory_map.hpp"
#include "io/shape.hpp"
#include "io/temporary_folder.hpp"

namespace m2 {
namespace {

using test::bytes_of;
using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(File, ReadsWhereItIsTold) {
  const TemporaryFolder folder;
  test::write_bytes(folder / "a", "0123456789");
  const File file(folder / "a", File::Mode::read);
  EXPECT_EQ(file.size_bytes(), 10u);
  std::string out(3, ' ');
  file.read_at(4, std::as_writable_bytes(std::span(out)));
  EXPECT_EQ(out, "456");
}

TEST(File, MissingFileIsNamedWithTheReason) {
  EXPECT_THAT([] { File("/no/such/file", File::Mode::read); },
              ThrowsMessage<Error>("cannot open '/no/such/file': No such file or directory"));
  EXPECT_THAT([] { File("/no/such/file", File::Mode::create); },
              ThrowsMessage<Error>("cannot create '/no/such/file': No such file or directory"));
}

TEST(File, FolderInsteadOfAFileIsAnError) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { read_text_file(folder.path()); }, ThrowsMessage<Error>(HasSubstr("Is a directory")));
}

TEST(File, ReadingBeyondTheEndSaysTruncated) {
  const TemporaryFolder folder;
  test::write_bytes(folder / "a", "0123456789");
  const File file(folder / "a", File::Mode::read);
  std::array<std::byte, 6> out;
  EXPECT_THAT([&] { file.read_at(5, out); },
              ThrowsMessage<Error>(HasSubstr("is truncated: it ends at byte 10, expected at least 11")));
}

TEST(File, FullDiskSaysHowManyBytesAreNeeded) {
  const TemporaryFolder folder;
  const File file(folder / "a", File::Mode::create);
  const test::FileSizeLimit limit(1000);
  EXPECT_THAT([&] { file.write_at(0, bytes_of(std::string(1500, 'x'))); },
              ThrowsMessage<Error>(AllOf(HasSubstr(folder / "a"), HasSubstr("500 more bytes are needed"))));
  EXPECT_THAT([&] { file.reserve(4000); }, ThrowsMessage<Error>(HasSubstr("4000 more bytes are needed")));

  const File full("/dev/full", File::Mode::append);
  EXPECT_THAT(
      [&] { full.append(bytes_of(std::string("text"))); },
      ThrowsMessage<Error>("cannot write '/dev/full': No space left on device; 4 more bytes are needed: free that "
                           "much or choose another folder"));
}

// How many of a file's pages are in memory.
std::size_t pages_in_page_cache(const std::string& path) {
  const MemoryMap map{File(path, File::Mode::read)};
  std::vector<unsigned char> is_there((map.bytes().size() + 4095) / 4096);
  EXPECT_EQ(::mincore(const_cast<std::byte*>(map.bytes().data()), map.bytes().size(), is_there.data()), 0);
  return std::size_t(std::ranges::count_if(is_there, [](unsigned char page) { return (page & 1) != 0; }));
}

TEST(File, FetchesIntoThePageCache) {
  const TemporaryFolder folder;
  constexpr std::size_t kPages = 2000, kPageBytes = 4096;
  test::write_bytes(folder / "a", std::string(kPages * kPageBytes, 'x'));
  const File file(folder / "a", File::Mode::update);
  file.sync();
  ::posix_fadvise(file.descriptor(), 0, 0, POSIX_FADV_DONTNEED);
  if (pages_in_page_cache(folder / "a") != 0) GTEST_SKIP() << "this file system does not let go of pages";
  file.fetch(0, 700 * kPageBytes, Fetch::finish);
  EXPECT_GE(pages_in_page_cache(folder / "a"), 700u);
  file.fetch(0, kPages * kPageBytes, Fetch::finish);  // the beginning is there, the rest is not
  EXPECT_EQ(pages_in_page_cache(folder / "a"), kPages);
  file.fetch(kPages * kPageBytes, 1 << 20, Fetch::finish);  // leaves what is wrong to those that read
  file.fetch(0, 100, Fetch::start);
}

TEST(PendingFile, AppearsOnlyWhenPublished) {
  const TemporaryFolder folder;
  {
    PendingFile pending(folder / "a");
    pending.file().write_at(0, bytes_of(std::string("text")));
    EXPECT_THAT(folder.names(), ElementsAre("a." + std::to_string(::getpid()) + ".tmp"));
    pending.publish();
  }
  EXPECT_THAT(folder.names(), ElementsAre("a"));
  EXPECT_EQ(test::read_bytes(folder / "a"), "text");
}

TEST(PendingFile, LeavesTheOldFileWhenAbandoned) {
  const TemporaryFolder folder;
  test::write_bytes(folder / "a", "old");
  {
    PendingFile pending(folder / "a");
    pending.file().write_at(0, bytes_of(std::string("new")));
    const PendingFile moved = std::move(pending);
  }
  EXPECT_THAT(folder.names(), ElementsAre("a"));
  EXPECT_EQ(test::read_bytes(folder / "a"), "old");
}

// As root, a rename would put a file in the place of /dev/null.
TEST(PendingFile, TakesThePlaceOfFilesOnly) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  for (const std::string& path : {folder / "pipe", folder.path(), std::string("/dev/null")}) {
    EXPECT_THAT([&] { PendingFile pending(path); },
                ThrowsMessage<Error>("'" + path +
                                     "' is not a file, and a finished file is to take its place: choose "
                                     "another path"));
  }
  EXPECT_THAT(folder.names(), ElementsAre("pipe"));
}

TEST(WriteTextFileAtomically, ReplacesWholeOrNotAtAll) {
  const TemporaryFolder folder;
  write_text_file_atomically(folder / "a", "old");
  {
    const test::FileSizeLimit limit(100);
    EXPECT_THROW(write_text_file_atomically(folder / "a", std::string(200, 'x')), Error);
  }
  EXPECT_EQ(read_text_file(folder / "a"), "old");
  write_text_file_atomically(folder / "a", std::string(200'000, 'y'));
  EXPECT_EQ(read_text_file(folder / "a"), std::string(200'000, 'y'));
  EXPECT_THAT(folder.names(), ElementsAre("a"));
}

TEST(MemoryMap, ShowsTheFileAfterItIsClosed) {
  const TemporaryFolder folder;
  test::write_bytes(folder / "a", "0123456789");
  test::write_bytes(folder / "empty", "");
  const MemoryMap map{File(folder / "a", File::Mode::read)};
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(map.bytes().data()), map.bytes().size()), "0123456789");
  EXPECT_TRUE(MemoryMap(File(folder / "empty", File::Mode::read)).bytes().empty());
}

TEST(Hash64, IsXxh3HoweverTheBytesAreCut) {
  EXPECT_EQ(hash64({}), 0x2d06800538d394c2u);  // XXH3_64bits of nothing, from the specification
  const std::string text(100'000, 'z');
  Hash64 hash;
  for (std::size_t begin = 0, step = 1; begin < text.size(); begin += step, step = step * 3 + 1) {
    hash.update(bytes_of(text.substr(begin, step)));
  }
  EXPECT_EQ(hash.digest(), hash64(bytes_of(text)));
  EXPECT_NE(hash.digest(), hash64(bytes_of(text.substr(1))));
}

TEST(CheckedSizeBytes, RefusesWhatDoesNotFit) {
  using Shape = std::vector<std::int64_t>;
  EXPECT_EQ(checked_size_bytes(DType::bfloat16, Shape{3, 5}), 30u);
  EXPECT_EQ(checked_size_bytes(DType::float32, Shape{}), 4u);
  const std::int64_t big = std::int64_t{1} << 40;
  EXPECT_EQ(checked_size_bytes(DType::float32, Shape{big, big, 0}), 0u);
  EXPECT_EQ(checked_size_bytes(DType::float32, Shape{big, big}), std::nullopt);
  EXPECT_EQ(checked_size_bytes(DType::float32, Shape{0, -1}), std::nullopt);
  EXPECT_EQ(checked_size_bytes(DType::float32, Shape{-1, -1}), std::nullopt);
  EXPECT_EQ(shape_text(Shape{2, 3}), "[2, 3]");
}

}  // namespace
}  // namespace m2
