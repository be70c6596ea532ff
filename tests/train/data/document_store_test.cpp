// SPDX-License-Identifier: Apache-2.0
#include "train/data/document_store.hpp"

#include <gmock/gmock.h>

#include "io/temporary_folder.hpp"
#include "train/data/fixture.hpp"

namespace m2 {
namespace {

using test::context;
using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Documents : public ::testing::Test {
 protected:
  std::string write(const std::string& text) {
    test::write_bytes(folder_ / "t.jsonl", text);
    return folder_ / "t.jsonl";
  }
  DocumentStore open(const std::string& path) { return {path, section_, context()}; }

  test::TemporaryFolder folder_;
  DataSection section_;
};

// Enough lines for several batches of the threads.
std::string many_lines(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    text += "{\"text\": \"The little handbook, page " + std::to_string(i) + "\"}\n";
    if (i % 7 == 0) text += "\n";
  }
  return text;
}

TEST_F(Documents, KeepTheOrderAndTheLinesOfTheFile) {
  const DocumentStore store = open(write(many_lines(9000)));
  ASSERT_EQ(store.num_documents(), 9000);
  EXPECT_EQ(store.line_counts().lines, 9000) << "blank lines do not count";
  std::int64_t line = 0;
  for (const std::int64_t i : {0, 1, 7, 4095, 4096, 8999}) {
    line = 1 + i + (i + 6) / 7;
    EXPECT_EQ(store.line(i), line);
    const auto expected = test::parse("{\"text\": \"The little handbook, page " + std::to_string(i) + "\"}").at(0);
    const Document document = store.read(i, 0, store.num_tokens(i));
    EXPECT_EQ(document.tokens, expected.tokens);
    EXPECT_EQ(document.labels, expected.labels);
    EXPECT_EQ(document.id, (SampleId{0, i, 0}));
  }
}

TEST_F(Documents, APartHasNoLabelAtItsBeginning) {
  const DocumentStore store = open(write("{\"token_ids\": [1, 2, 3, 4, 5]}\n"));
  const Document part = store.read(0, 2, 2);
  EXPECT_THAT(part.tokens, ElementsAre(3, 4));
  EXPECT_THAT(part.labels, ElementsAre(kNoLabel, 4));
  EXPECT_EQ(part.id.first_token, 2);
}

TEST_F(Documents, Counts) {
  const DocumentStore store = open(write(R"({"token_ids": [1, 2, 3]}
{"token_ids": [1, 2, 3], "labels": [-100, -100, -100]}
{"token_ids": []}
{"messages": [{"role": "user", "content": "hi"}]}
)"));
  EXPECT_EQ(store.num_documents(), 3);
  EXPECT_EQ(store.num_label_tokens(), 2);
  EXPECT_EQ(store.num_without_labels(), 2);
  EXPECT_EQ(store.line_counts().empty, 1);
}

TEST_F(Documents, BadLinesAreErrorsOrCounted) {
  const std::string path = write("{\"text\": \"a b\"}\n{\"text\": 5}\n{]\n{\"text\": \"c d\"}\n{\"text\": \"\xff\"}\n");
  const std::string message = "t.jsonl:2: 'text' is of type number, expected text";
  EXPECT_THAT(error_of([&] { open(path); }),
              ::testing::EndsWith(message + " (data.on_bad_line: skip leaves such lines out)"));
  section_.on_bad_line = OnBadLine::skip;
  const DocumentStore store = open(path);
  EXPECT_EQ(store.num_documents(), 2);
  EXPECT_EQ(store.line(1), 4);
  EXPECT_EQ(store.line_counts().bad_lines, 3);
  EXPECT_THAT(store.first_bad_line(), ::testing::EndsWith(message));
}

TEST_F(Documents, FilesWithoutDocumentsAreRefused) {
  EXPECT_THAT(error_of([&] { open(write("\n \n")); }), HasSubstr("t.jsonl: the file has no lines"));
  EXPECT_THAT(error_of([&] { open(write("{\"token_ids\": []}\n")); }), HasSubstr("there is no document in 1 lines"));
  section_.on_bad_line = OnBadLine::skip;
  EXPECT_THAT(error_of([&] { open(write("{}\n")); }), HasSubstr("of which the first bad one is"));
  EXPECT_THAT(error_of([&] { open(folder_ / "missing.jsonl"); }), HasSubstr("missing.jsonl"));
}

TEST_F(Documents, AFileOfTokensIsTheSame) {
  section_.on_bad_line = OnBadLine::skip;
  const std::string path =
      write(many_lines(50) + "{}\n{\"token_ids\": []}\n{\"token_ids\": [1, 2], \"labels\": [-100, 9]}\n");
  const std::string tokens = folder_ / "t.h5";
  write_token_file(tokens, read_json_lines(path, section_, context()), section_);
  EXPECT_THAT(folder_.names(), ElementsAre("t.h5", "t.jsonl"));
  const DocumentStore a = open(path), b = open(tokens);
  ASSERT_EQ(a.num_documents(), b.num_documents());
  for (std::int64_t i = 0; i < a.num_documents(); ++i) {
    const Document one = a.read(i, 0, a.num_tokens(i)), other = b.read(i, 0, b.num_tokens(i));
    EXPECT_EQ(one.tokens, other.tokens);
    EXPECT_EQ(one.labels, other.labels);
    EXPECT_EQ(one.line, other.line);
  }
  EXPECT_EQ(a.content_hash(), b.content_hash());
  EXPECT_EQ(a.num_label_tokens(), b.num_label_tokens());
  EXPECT_EQ(b.line_counts().bad_lines, 1);
  EXPECT_EQ(b.line_counts().empty, 1);
  write(many_lines(50));
  EXPECT_NE(open(path).content_hash(), a.content_hash());
}

TEST_F(Documents, AFileOfTokensOfOtherSettingsOrModelsIsRefused) {
  const std::string tokens = folder_ / "t.h5";
  write_token_file(tokens, read_json_lines(write(many_lines(3)), section_, context()), section_);
  DataContext small = context();
  small.vocab_size = 100;
  EXPECT_THAT(error_of([&] { DocumentStore(tokens, section_, small); }),
              HasSubstr("the model's vocabulary ends at 99"));
  section_.train_on = TrainOn::last;
  EXPECT_THAT(error_of([&] { open(tokens); }),
              HasSubstr("was made with train_on \"all\", and data.train_on is \"last\""));
}

TEST_F(Documents, DamageIsNoticed) {
  const std::string tokens = folder_ / "t.h5";
  const DocumentList list = read_json_lines(write(many_lines(300)), section_, context());
  write_token_file(tokens, list, section_);
  std::string bytes = test::read_bytes(tokens);
  const std::string label_bytes(reinterpret_cast<const char*>(list.labels.data()), list.labels.size() * 4);
  const std::size_t at = bytes.find(label_bytes);
  ASSERT_NE(at, bytes.npos);
  bytes[at + 400] = char(bytes[at + 400] ^ 1);
  test::write_bytes(tokens, bytes);
  EXPECT_THAT(error_of([&] { open(tokens); }), HasSubstr("dataset '/data/labels' differs from what was written"));
}

}  // namespace
}  // namespace m2
