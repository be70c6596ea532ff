// SPDX-License-Identifier: Apache-2.0
// What Hdf5Reader makes of files that are not as Hdf5Writer left them.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstring>

#include "core/error.hpp"
#include "io/hash.hpp"
#include "io/hdf5_example.hpp"

namespace m2 {
namespace {

using test::Hdf5Example;
using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Hdf5Damage : public ::testing::Test {
 protected:
  void SetUp() override {
    Hdf5Example().write(path_);
    whole_ = test::read_bytes(path_);
  }

  /// What opening the file, and reading all its datasets, says; empty if nothing is wrong.
  std::string message() const {
    try {
      const Hdf5Reader reader(path_);
      for (const Hdf5Dataset& dataset : reader.datasets()) test::read_all(reader, dataset);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  std::string message_of(const std::string& bytes) const {
    test::write_bytes(path_, bytes);
    return message();
  }

  std::string with_number(std::size_t offset, std::uint64_t value) const {
    std::string bytes = whole_;
    std::memcpy(bytes.data() + offset, &value, sizeof(value));
    return bytes;
  }

  /// A forged user block whose own hash is right.
  static std::string rehashed(std::string bytes) {
    std::uint64_t block_bytes = 0;
    std::memcpy(&block_bytes, bytes.data() + 16, sizeof(block_bytes));
    std::memset(bytes.data() + 48, 0, 8);
    const std::uint64_t hash = hash64(test::bytes_of(bytes).first(block_bytes));
    std::memcpy(bytes.data() + 48, &hash, sizeof(hash));
    return bytes;
  }

  TemporaryFolder folder_;
  std::string path_ = folder_ / "a.h5";
  std::string whole_;
};

TEST_F(Hdf5Damage, WholeFileIsFine) {
  EXPECT_EQ(message_of(whole_), "");
  EXPECT_EQ(message_of(rehashed(whole_)), "");
}

TEST_F(Hdf5Damage, TruncatedFileSaysFoundAndExpectedBytes) {
  EXPECT_EQ(message_of(whole_.substr(0, 700)),
            fmt::format("'{}' is truncated: it has 700 bytes, expected {}: copy it again", path_, whole_.size()));
  EXPECT_THAT(message_of(whole_.substr(0, 20)), HasSubstr("is truncated: it has 20 bytes, expected at least 56"));
  for (std::size_t size = 8; size < whole_.size(); size += 101) {
    EXPECT_THAT(message_of(whole_.substr(0, size)), HasSubstr("is truncated")) << size;
  }
  EXPECT_THAT(message_of(whole_ + "x"), HasSubstr("is altered: it has"));
}

TEST_F(Hdf5Damage, ForeignFileIsRefusedByItsBeginning) {
  const std::string advice = "expected 'KokkosM2'; convert a Hugging Face checkpoint with m2-convert import";
  EXPECT_THAT(message_of(""), AllOf(HasSubstr("is not a KokkosM2 checkpoint: it begins with ''"), HasSubstr(advice)));
  EXPECT_THAT(message_of("\x89HDF\r\n\x1a\n and more"),
              AllOf(HasSubstr("it begins with '\\x89HDF\\x0d\\x0a\\x1a\\x0a', "), HasSubstr(advice)));
  EXPECT_THAT(message_of(whole_.substr(512)), HasSubstr("is not a KokkosM2 checkpoint"));
  EXPECT_THAT(message_of("Kokk"), HasSubstr("is not a KokkosM2 checkpoint"));
}

TEST_F(Hdf5Damage, OtherVersionIsRefused) {
  EXPECT_THAT(message_of(with_number(8, 2)), HasSubstr("has version 2 of the checkpoint format, expected 1"));
}

// Whichever bit of the file is flipped, reading it all says so; in the data with the dataset's name.
TEST_F(Hdf5Damage, EveryFlippedByteIsNoticed) {
  const std::vector<Hdf5Dataset> datasets = Hdf5Reader(path_).datasets();
  const auto is_data = [&](std::size_t i) {
    return std::ranges::any_of(datasets, [i](const Hdf5Dataset& dataset) {
      return i >= dataset.offset && i < dataset.offset + dataset.size_bytes;
    });
  };
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);  // in place: rewriting it all is slow
  const auto write_byte = [&](std::size_t i, char byte) {
    file.seekp(std::streamoff(i)).put(byte).flush();
    ASSERT_TRUE(file.good());
  };
  for (std::size_t i = 0; i < whole_.size(); ++i) {
    write_byte(i, char(whole_[i] ^ (1 << (i % 8))));
    const std::string text = message();
    write_byte(i, whole_[i]);
    if (is_data(i)) {
      EXPECT_THAT(text, AllOf(HasSubstr("is altered or damaged: slab "), HasSubstr("of dataset '/"))) << i;
    } else {
      EXPECT_THAT(text, AnyOf(HasSubstr("altered"), HasSubstr("not a KokkosM2 checkpoint"), HasSubstr("has version "),
                              HasSubstr("is truncated")))
          << i;
    }
  }
}

TEST_F(Hdf5Damage, DamagedSlabIsNamed) {
  std::string bytes = whole_;
  bytes[Hdf5Reader(path_).find("/model/layers/0/moe/experts/down")->offset + 25] ^= 1;
  EXPECT_THAT(message_of(bytes),
              HasSubstr("slab 2 of 3 of dataset '/model/layers/0/moe/experts/down' differs from what was written"));
}

// A table that lies but has the right hash does not get through to libhdf5.
TEST_F(Hdf5Damage, ForgedTableIsRefused) {
  constexpr std::size_t kTable = 56;
  EXPECT_THAT(message_of(rehashed(with_number(kTable, ~0ull))), HasSubstr("overlap others or leave the file's"));
  EXPECT_THAT(message_of(rehashed(with_number(kTable + 8, ~0ull))), HasSubstr("overlap others or leave the file's"));
  EXPECT_THAT(message_of(rehashed(with_number(kTable + 8, 0))), HasSubstr("data of 0 bytes"));
  EXPECT_THAT(message_of(rehashed(with_number(kTable, 0))), HasSubstr("overlap others or leave the file's"));
  EXPECT_THAT(message_of(rehashed(with_number(kTable + 8, 12))), HasSubstr("the description of the datasets differs"));
  EXPECT_THAT(message_of(with_number(32, ~0ull)), HasSubstr("the beginning of the file differs"));
  for (const std::uint64_t block_bytes :
       {std::uint64_t{0}, std::uint64_t{511}, std::uint64_t{256}, std::uint64_t{1} << 40}) {
    EXPECT_THAT(message_of(with_number(16, block_bytes)), HasSubstr("the beginning of the file differs"))
        << block_bytes;
  }
}

}  // namespace
}  // namespace m2
