// SPDX-License-Identifier: Apache-2.0
#include "io/json_lines.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "core/error.hpp"
#include "io/file_size_limit.hpp"
#include "io/temporary_folder.hpp"

namespace m2 {
namespace {

using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::ThrowsMessage;
using Json = nlohmann::json;

std::vector<Json> read_all(const std::string& path) {
  JsonLinesReader reader(path);
  std::vector<Json> values;
  while (auto value = reader.next()) values.push_back(std::move(*value));
  return values;
}

TEST(JsonLinesReader, SkipsBlankLinesAndTellsWhere) {
  const TemporaryFolder folder;
  test::write_bytes(folder / "a", "{\"x\":1}\n\n  \t\r\n[2]\r\n\"last\"");
  JsonLinesReader reader(folder / "a");
  EXPECT_EQ(reader.next(), Json({{"x", 1}}));
  EXPECT_EQ(reader.next(), Json::array({2}));
  EXPECT_EQ(reader.where(), (folder / "a") + ":4");
  EXPECT_EQ(reader.next(), Json("last"));
  EXPECT_EQ(reader.next(), std::nullopt);
  EXPECT_EQ(reader.next(), std::nullopt);
}

TEST(JsonLinesReader, LinesMayBeHuge) {
  const TemporaryFolder folder;
  const std::string huge(5'000'000, 'x');
  std::string text;
  for (const std::string& piece : {huge, std::string("short"), huge + "y"}) text += Json(piece).dump() + "\n";
  test::write_bytes(folder / "a", text);
  EXPECT_THAT(read_all(folder / "a"), ElementsAre(Json(huge), Json("short"), Json(huge + "y")));
}

TEST(JsonLinesReader, ManyLinesCrossTheBufferAnywhere) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += Json{{"i", i}, {"pad", std::string(i % 97, 'p')}}.dump() + "\n";
  test::write_bytes(folder / "a", text);
  const auto values = read_all(folder / "a");
  ASSERT_EQ(values.size(), 20'000u);
  for (int i = 0; i < 20'000; ++i) ASSERT_EQ(values[i]["i"], i);
}

TEST(JsonLinesReader, BadLinesAreNamed) {
  const TemporaryFolder folder;
  const auto reads = [&](const std::string& line) {
    test::write_bytes(folder / "a", "{}\n" + line + "\n{}\n");
    return [&] { read_all(folder / "a"); };
  };
  const std::string where = (folder / "a") + ":2: ";
  EXPECT_THAT(reads("{\"x\":}"), ThrowsMessage<Error>(StartsWith(where + "not valid JSON: at byte 6: syntax error")));
  EXPECT_THAT(reads("{} {}"), ThrowsMessage<Error>(StartsWith(where + "not valid JSON: at byte 4")));
  EXPECT_THAT(reads("\"\xc3(\""), ThrowsMessage<Error>(AllOf(StartsWith(where), HasSubstr("ill-formed UTF-8 byte"))));
  EXPECT_THAT(reads("1e999"), ThrowsMessage<Error>(StartsWith(where + "not valid JSON: number overflow")));
  EXPECT_THAT(reads("{\"x\":1,\"x\":2}"), ThrowsMessage<Error>(where + "key 'x' is given twice"));
  EXPECT_THAT(reads(std::string(100'000, '[')), ThrowsMessage<Error>(where + "JSON nested deeper than 100 levels"));
  EXPECT_THAT(reads(std::string("\0\0\0", 3)), ThrowsMessage<Error>(StartsWith(where + "not valid JSON")));
}

TEST(JsonLinesWriter, WritesALineAtATime) {
  const TemporaryFolder folder;
  test::write_bytes(folder / "a", "old\n");
  JsonLinesWriter writer(folder / "a");
  const std::string line = R"({"z":1,"a":"ü\n"})";
  writer.write(line);
  EXPECT_EQ(test::read_bytes(folder / "a"), line + "\n");  // at once
  writer.write("null");
  writer.sync();
  EXPECT_EQ(writer.num_lines(), 2);
  EXPECT_THAT(read_all(folder / "a"), ElementsAre(Json({{"z", 1}, {"a", "ü\n"}}), Json()));
}

TEST(JsonLinesWriter, FullDiskLeavesWholeLines) {
  const TemporaryFolder folder;
  JsonLinesWriter writer(folder / "a");
  writer.write("\"first\"");
  {
    const test::FileSizeLimit limit(100);
    EXPECT_THAT([&] { writer.write('"' + std::string(150, 'x') + '"'); },
                ThrowsMessage<Error>(AllOf(HasSubstr(folder / "a"), HasSubstr("61 more bytes are needed"))));
    EXPECT_EQ(test::read_bytes(folder / "a"), "\"first\"\n");
  }
  writer.write("\"second\"");
  EXPECT_EQ(test::read_bytes(folder / "a"), "\"first\"\n\"second\"\n");

  JsonLinesWriter full("/dev/full");
  EXPECT_THAT([&] { full.write("1"); }, ThrowsMessage<Error>(HasSubstr("No space left on device")));
}

struct Resumed {
  std::vector<Json> lines;
  std::string file;
};

Resumed resume_and_add(const std::string& path) {
  Resumed resumed;
  JsonLinesWriter writer = JsonLinesWriter::resume(path, [&](const Json& line) { resumed.lines.push_back(line); });
  EXPECT_EQ(writer.num_lines(), std::int64_t(resumed.lines.size()));
  writer.write("\"added\"");
  resumed.file = test::read_bytes(path);
  return resumed;
}

TEST(JsonLinesResume, ContinuesWhereverTheLastLineBroke) {
  const TemporaryFolder folder;
  const std::string whole = "{\"id\":1}\n{\"id\":2}\n";
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    test::write_bytes(folder / "a", whole.substr(0, size));
    const std::size_t num_lines = size / 9;  // each has nine bytes
    const Resumed resumed = resume_and_add(folder / "a");
    EXPECT_EQ(resumed.lines.size(), num_lines) << size;
    EXPECT_EQ(resumed.file, whole.substr(0, 9 * num_lines) + "\"added\"\n") << size;
  }
}

TEST(JsonLinesResume, StartsAMissingFile) {
  const TemporaryFolder folder;
  EXPECT_EQ(resume_and_add(folder / "a").file, "\"added\"\n");
}

TEST(JsonLinesResume, DropsALastLineOfGarbage) {
  const TemporaryFolder folder;
  test::write_bytes(folder / "a", "1\n" + std::string(20, '\0') + "\n");  // a block that was never flushed
  EXPECT_EQ(resume_and_add(folder / "a").file, "1\n\"added\"\n");
}

TEST(JsonLinesResume, RefusesAFileOfAnotherProgram) {
  const TemporaryFolder folder;
  test::write_bytes(folder / "a", "1\nnotes\n2\n");
  EXPECT_THAT(
      [&] { resume_and_add(folder / "a"); },
      ThrowsMessage<Error>(AllOf(StartsWith((folder / "a") + ":2: not valid JSON"),
                                 HasSubstr("an interrupted job can only break its last line; move the file away"))));
  EXPECT_EQ(test::read_bytes(folder / "a"), "1\nnotes\n2\n");
}

TEST(JsonLinesResume, ErrorsOfTheVisitorPassThrough) {
  const TemporaryFolder folder;
  test::write_bytes(folder / "a", "1\n");
  EXPECT_THAT([&] { JsonLinesWriter::resume(folder / "a", [](const Json&) { raise("not mine"); }); },
              ThrowsMessage<Error>("not mine"));
  EXPECT_EQ(test::read_bytes(folder / "a"), "1\n");
}

}  // namespace
}  // namespace m2
