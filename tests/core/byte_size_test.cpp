// SPDX-License-Identifier: Apache-2.0
#include "core/byte_size.hpp"

#include <gtest/gtest.h>

#include <string>

#include "core/error.hpp"

namespace m2 {
namespace {

TEST(ByteSize, IsWrittenWithDecimalUnits) {
  EXPECT_EQ(byte_size_text(0), "0 B");
  EXPECT_EQ(byte_size_text(999), "999 B");
  EXPECT_EQ(byte_size_text(1000), "1.0 kB");
  EXPECT_EQ(byte_size_text(999'949), "999.9 kB");
  EXPECT_EQ(byte_size_text(999'950), "1.0 MB");  // never "1000.0 kB"
  EXPECT_EQ(byte_size_text(230'121'630'720), "230.1 GB");
  EXPECT_EQ(byte_size_text(18'446'744'073'709'551'615u), "18.4 EB");
}

TEST(ByteSize, IsReadAsUsersWriteIt) {
  EXPECT_EQ(parse_byte_size("4096", "x"), 4096u);
  EXPECT_EQ(parse_byte_size("17B", "x"), 17u);
  EXPECT_EQ(parse_byte_size("5GB", "x"), 5'000'000'000u);
  EXPECT_EQ(parse_byte_size("512 MiB", "x"), 512u << 20);
  EXPECT_EQ(parse_byte_size("1.5tb", "x"), 1'500'000'000'000u);
  EXPECT_EQ(parse_byte_size("2K", "x"), 2000u);
  EXPECT_EQ(parse_byte_size("1KiB", "x"), 1024u);
}

TEST(ByteSize, RefusesTheRest) {
  for (const std::string text :
       {"", "GB", "-5GB", "5 apples", "0", "0.5", "5GBB", "nan", "inf", "1e30TB", "9999999999PB"}) {
    try {
      parse_byte_size(text, "--max-shard-size");
      ADD_FAILURE() << "'" << text << "' was accepted";
    } catch (const UsageError& error) {
      EXPECT_EQ(error.what(),
                "--max-shard-size is '" + text + "', expected a size such as 5GB, 512MiB or 4096 (bytes)");
    }
  }
}

}  // namespace
}  // namespace m2
