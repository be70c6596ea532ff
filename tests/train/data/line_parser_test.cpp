// SPDX-License-Identifier: Apache-2.0
#include "train/data/line_parser.hpp"

#include <gmock/gmock.h>

#include "train/data/fixture.hpp"

namespace m2 {
namespace {

using test::error_of;
using test::parse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(LineParser, TokenIds) {
  const Document plain = parse(R"({"token_ids": [5, 6, 7], "source": "web"})").at(0);
  EXPECT_THAT(plain.tokens, ElementsAre(5, 6, 7));
  EXPECT_THAT(plain.labels, ElementsAre(kNoLabel, 6, 7));
  const Document given = parse(R"({"token_ids": [5, 6, 7, 8], "labels": [5, -100, 9, 8]})").at(0);
  EXPECT_THAT(given.labels, ElementsAre(kNoLabel, kNoLabel, 9, 8)) << "as given, another token included";
  EXPECT_TRUE(parse(R"({"token_ids": []})").at(0).tokens.empty());
}

TEST(LineParser, ColumnsRenameAndChoose) {
  DataSection section;
  section.columns = {"prompt=question", "completion=answer"};
  const auto line = R"({"question": "The book", "answer": " is here", "text": "no", "prompt": "no"})";
  EXPECT_EQ(parse(line, section).at(0).tokens,
            parse(R"({"prompt": "The book", "completion": " is here"})").at(0).tokens);
  section.columns = {"text=text"};
  EXPECT_EQ(parse(R"({"text": "a", "messages": []})", section).at(0).tokens, parse(R"({"text": "a"})").at(0).tokens);
  for (const char* wrong : {"completion", "completion=", "answer=completion"}) {
    section.columns = {wrong};
    EXPECT_THAT(error_of([&] { parse("{}", section); }), HasSubstr("expected OURS=THEIRS")) << wrong;
  }
  section.columns = {"txet=a"};
  EXPECT_THAT(error_of([&] { parse("{}", section); }), HasSubstr("did you mean 'text'?"));
}

struct BadLine {
  const char* line;
  const char* message;
};

void PrintTo(const BadLine& bad, std::ostream* out) { *out << bad.line; }

class LineParserRefusal : public ::testing::TestWithParam<BadLine> {};

TEST_P(LineParserRefusal, SaysWhereWhatAndWhatIsExpected) {
  const std::string message = error_of([] { parse(GetParam().line); });
  EXPECT_THAT(message, ::testing::StartsWith("t.jsonl:7"));
  EXPECT_THAT(message, HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, LineParserRefusal,
    ::testing::Values(
        BadLine{"{\"text\": ", "syntax error"}, BadLine{"[1]", "found JSON of type array, expected an object"},
        BadLine{"{}", "found no keys, expected 'text'"},
        BadLine{R"({"txt": "a", "source": "b"})", "found 'txt', 'source', expected 'text'"},
        BadLine{R"({"text": "a", "messages": []})",
                "found both 'text' and 'messages', expected one; data.columns says which, such as [text=text]"},
        BadLine{R"({"text": 5})", "'text' is of type number, expected text"},
        BadLine{R"({"prompt": "a"})", "there is no 'completion'"},
        BadLine{R"({"instruction": "a"})", "there is no 'output'"},
        BadLine{R"({"token_ids": 5})", "'token_ids' is of type number, expected a list of whole numbers"},
        BadLine{R"({"token_ids": [5, 3054]})", "token_ids[1] is 3054, expected a whole number from 0 to 3053"},
        BadLine{R"({"token_ids": [-100]})", "token_ids[0] is -100, expected a whole number from 0 to 3053"},
        BadLine{R"({"token_ids": [1.5]})", "token_ids[0] is 1.5"},
        BadLine{R"({"token_ids": [1, 2], "labels": [1]})", "'labels' has 1 numbers, expected 2 as 'token_ids' has"},
        BadLine{R"({"token_ids": [1], "labels": [-1]})",
                "labels[0] is -1, expected a whole number from 0 to 3053 "
                "(vocab_size - 1) or -100"},
        BadLine{R"({"messages": "hi"})", "messages is string; expected an array"},
        BadLine{R"({"messages": []})", "messages is empty"},
        BadLine{R"({"messages": ["hi"]})", "messages[0] is string; expected an object"},
        BadLine{R"({"messages": [{"role": "robot"}]})", "messages[0].role is 'robot'"},
        BadLine{R"({"messages": [{"role": "user", "content": "a"}], "tools": "["})", "'tools'"},
        BadLine{R"({"conversations": {}})", "'conversations' is of type object"},
        BadLine{R"({"conversations": [{"from": "human"}]})", "conversations[0] is {\"from\":\"human\"}; expected"},
        BadLine{R"({"conversations": [{"from": "bot", "value": "a"}]})", "conversations[0].from is \"bot\"; expected"},
        BadLine{R"({"conversations": [{"from": "function_call", "value": "now"}]})", "conversations[0].value"}));

TEST(LineParser, WithoutATokenizerTokenIdsAreRead) {
  DataContext context = test::context();
  context.tokenizer = nullptr;
  const LineParser parser({}, context);
  EXPECT_EQ(parser.parse(R"({"token_ids": [1, 2]})", "f:1").at(0).tokens.size(), 2u);
  EXPECT_EQ(error_of([&] { parser.parse(R"({"text": "a"})", "f:1"); }),
            "f:1: the checkpoint has no tokenizer; give 'token_ids', or convert it with its tokenizer.json");
}

TEST(LineParser, ATokenizerBeyondTheVocabularyIsRefused) {
  DataContext context = test::context();
  context.vocab_size = 100;
  EXPECT_THAT(error_of([&] { LineParser({}, context).parse(R"({"text": "The book"})", "f:1"); }),
              HasSubstr("they do not belong together"));
}

}  // namespace
}  // namespace m2
