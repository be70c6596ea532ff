// SPDX-License-Identifier: Apache-2.0
#include "infer/prompts.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include "core/error.hpp"
#include "infer/fixture.hpp"
#include "text/chat_template.hpp"

namespace m2 {
namespace {

using ::testing::ElementsAre;

const Tokenizer& tokenizer() {
  static const std::string path = M2_TEST_DATA "/tokenizer/tokenizer.json";
  static const Tokenizer instance = Tokenizer::from_json(read_text_file(path), path);
  return instance;
}

class Prompts : public ::testing::Test {
 protected:
  Prompts() {
    config_.vocab_size = 3072;
    config_.max_position_embeddings = 8;
  }

  void write(const std::string& lines) { write_text_file_atomically(path_, lines); }
  PromptContext context(bool with_tokenizer = true) const {
    return {config_, with_tokenizer ? &tokenizer() : nullptr, std::string(kPlainSystemPrompt)};
  }
  std::vector<Prompt> read(const std::string& lines) {
    write(lines);
    return read_prompts({.file = path_, .text = {}}, context());
  }
  // What reading the lines says after the file's name.
  std::string error(const std::string& lines, bool with_tokenizer = true) {
    write(lines);
    try {
      read_prompts({.file = path_, .text = {}}, context(with_tokenizer));
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_TRUE(message.starts_with(path_)) << message;
      return message.substr(std::min(message.size(), path_.size()));
    }
    return "nothing was thrown";
  }

  MiniMaxM2Config config_ = test::tiny_config();
  std::string path_ = ::testing::TempDir() + "m2_prompts_test." + std::to_string(::getpid()) + ".jsonl";
};

TEST_F(Prompts, TextsAndTokenIds) {
  const auto prompts = read(R"({"prompt": "a model"}

{"token_ids": [5, 3071], "id": "second"}
{"prompt": "a", "id": 7.5})");
  ASSERT_EQ(prompts.size(), 3u);
  EXPECT_EQ(prompts[0].tokens, tokenizer().encode("a model"));
  EXPECT_EQ(prompts[0].text, "a model");
  EXPECT_EQ(prompts[0].id, 0);
  EXPECT_THAT(prompts[1].tokens, ElementsAre(5, 3071));
  EXPECT_EQ(prompts[1].id, "second");
  EXPECT_EQ(prompts[1].where, path_ + ":3");
  EXPECT_EQ(prompts[2].id, 7.5);
}

TEST_F(Prompts, TheTextOfADeck) {
  const auto prompts = read_prompts({.file = {}, .text = "a model"}, context());
  ASSERT_EQ(prompts.size(), 1u);
  EXPECT_EQ(prompts[0].tokens, tokenizer().encode("a model"));
  EXPECT_EQ(prompts[0].id, 0);
}

TEST_F(Prompts, MessagesFollowTheChatTemplateWithToolsInTheirOrder) {
  config_.max_position_embeddings = 2048;
  const std::string messages = R"([{"role": "user", "content": "Hi"}])";
  const std::string tools = R"([{"type": "function", "function": {"name": "f", "description": "d", "a": 1}}])";
  const auto prompts = read(R"({"messages": )" + messages + R"(, "tools": )" + tools + "}");
  EXPECT_EQ(prompts.at(0).text,
            render_chat(nlohmann::ordered_json::parse(messages), nlohmann::ordered_json::parse(tools)));
  EXPECT_THAT(prompts[0].text, ::testing::HasSubstr(R"({"name": "f", "description": "d", "a": 1})"));
  EXPECT_EQ(prompts[0].tokens, tokenizer().encode(prompts[0].text));
}

TEST_F(Prompts, BadLinesAreNamed) {
  EXPECT_EQ(error(""), ": the file has no lines; expected JSON Lines with one of 'prompt', 'token_ids', 'messages'");
  EXPECT_EQ(error("[1]"),
            ":1: found JSON of type array, expected an object with one of 'prompt', 'token_ids', 'messages'");
  EXPECT_EQ(error(R"({"id": 1})"), ":1: expected one of 'prompt', 'token_ids', 'messages'");
  EXPECT_EQ(error(R"({"promt": "a"})"), ":1: unknown key 'promt'; did you mean 'prompt'?");
  EXPECT_EQ(error(R"({"prompt": "a", "tools": []})"), ":1: unknown key 'tools'");
  EXPECT_EQ(error("{\"prompt\": \"a\"}\n{\"prompt\": \"a\", \"token_ids\": [1]}"),
            ":2: found both 'prompt' and 'token_ids', expected exactly one of 'prompt', 'token_ids', 'messages'");
  EXPECT_EQ(error(R"({"prompt": 3})"), ":1: 'prompt' is of type number, expected text");
  EXPECT_EQ(error(R"({"prompt": "a", "id": [1]})"), ":1: 'id' is of type array, expected text or a number");
  EXPECT_EQ(error(R"({"token_ids": 3})"), ":1: 'token_ids' is of type number, expected a list of whole numbers");
  EXPECT_THAT(error(R"({"messages": [{"role": "nobody"}]})"), ::testing::HasSubstr("nobody"));
}

TEST_F(Prompts, TokensOutsideTheVocabulary) {
  constexpr const char* kExpected = ", expected a whole number from 0 to 3071 (vocab_size - 1)";
  EXPECT_EQ(error(R"({"token_ids": [1, 3072]})"), std::string(":1: token_ids[1] is 3072") + kExpected);
  EXPECT_EQ(error(R"({"token_ids": [-1]})"), std::string(":1: token_ids[0] is -1") + kExpected);
  EXPECT_EQ(error(R"({"token_ids": [1.5]})"), std::string(":1: token_ids[0] is 1.5") + kExpected);
  EXPECT_EQ(error(R"({"token_ids": [18446744073709551615]})"),
            std::string(":1: token_ids[0] is 18446744073709551615") + kExpected);
  config_.vocab_size = 60;  // 'a' is 64
  EXPECT_EQ(error(R"({"prompt": "a"})"),
            ":1: the tokenizer gives token 64, the model's vocabulary ends at 59: they do not belong together");
}

TEST_F(Prompts, LengthsThatDoNotFit) {
  EXPECT_EQ(error(R"({"prompt": ""})"), ":1: the prompt is empty; expected at least one token to go on from");
  EXPECT_EQ(read(R"({"token_ids": [1, 2, 3, 4, 5, 6, 7]})").size(), 1u);
  EXPECT_EQ(error(R"({"token_ids": [1, 2, 3, 4, 5, 6, 7, 8]})"),
            ":1: 8 tokens and one to generate are more than the model's 8 positions (max_position_embeddings)");
}

TEST_F(Prompts, WithoutATokenizerOnlyTokenIds) {
  EXPECT_EQ(error(R"({"prompt": "a"})", false),
            ":1: the checkpoint has no tokenizer; give 'token_ids', or convert it with its tokenizer.json");
  write(R"({"token_ids": [1]})");
  EXPECT_EQ(read_prompts({.file = path_, .text = {}}, context(false)).size(), 1u);
}

TEST_F(Prompts, TextsToScoreMayBeEmptyAndFillEveryPosition) {
  write(R"({"text": ""}
{"token_ids": [1, 2, 3, 4, 5, 6, 7, 8]})");
  const auto texts = read_texts(path_, context());
  EXPECT_TRUE(texts.at(0).tokens.empty());
  EXPECT_EQ(texts.at(1).tokens.size(), 8u);
  write(R"({"token_ids": [1, 2, 3, 4, 5, 6, 7, 8, 9]})");
  try {
    read_texts(path_, context());
    FAIL() << "no Error";
  } catch (const Error& error) {
    EXPECT_EQ(error.what(), path_ + ":1: 9 tokens are more than the model's 8 positions (max_position_embeddings)");
  }
}

}  // namespace
}  // namespace m2
