// SPDX-License-Identifier: Apache-2.0
// What carries loss in conversations, as show_document() marks it: [[...]].
#include <gmock/gmock.h>

#include "train/data/conversation.hpp"
#include "train/data/fixture.hpp"

namespace m2 {
namespace {

using test::parse;
using ::testing::ElementsAre;

constexpr const char* kSystem = "]~!b[]~b]system\nYou are a helpful assistant.[e~[\n";

// The marked texts of a line's documents, without their first line and the default system turn.
std::vector<std::string> marked(const std::string& line, const DataSection& section = {}) {
  std::vector<std::string> texts;
  for (const Document& document : parse(line, section)) {
    // The same tokens as inference: those of the whole text.
    EXPECT_EQ(document.tokens, test::tokenizer().encode(test::tokenizer().decode(document.tokens)));
    std::string text = show_document(document, &test::tokenizer());
    text.erase(0, text.find('\n') + 1);
    text.pop_back();
    if (text.starts_with(kSystem)) text.erase(0, std::string_view(kSystem).size());
    texts.push_back(text);
  }
  return texts;
}

constexpr const char* kTwoTurns = R"({"messages": [
  {"role": "user", "content": "1+1?"}, {"role": "assistant", "reasoning_content": "easy", "content": "2"},
  {"role": "user", "content": "2+2?"}, {"role": "assistant", "reasoning_content": "hm", "content": "4"}]})";

TEST(SupervisedText, AnswersAndThoughtsOfTheLastTurn) {
  EXPECT_THAT(marked(kTwoTurns), ElementsAre("]~b]user\n1+1?[e~[\n"
                                             "]~b]ai\n[[2[e~[]]\n"
                                             "]~b]user\n2+2?[e~[\n"
                                             "]~b]ai\n<think>\n[[hm\n</think>\n\n4[e~[]]\n"));
}

TEST(SupervisedText, AnswersWithoutThoughts) {
  DataSection section;
  section.train_on_thinking = false;
  EXPECT_THAT(marked(kTwoTurns, section), ElementsAre("]~b]user\n1+1?[e~[\n"
                                                      "]~b]ai\n[[2[e~[]]\n"
                                                      "]~b]user\n2+2?[e~[\n"
                                                      "]~b]ai\n<think>\nhm\n</think>\n\n[[4[e~[]]\n"));
}

TEST(SupervisedText, LastAnswerOnly) {
  DataSection section;
  section.train_on = TrainOn::last;
  EXPECT_THAT(marked(kTwoTurns, section), ElementsAre("]~b]user\n1+1?[e~[\n"
                                                      "]~b]ai\n2[e~[\n"
                                                      "]~b]user\n2+2?[e~[\n"
                                                      "]~b]ai\n<think>\n[[hm\n</think>\n\n4[e~[]]\n"));
  EXPECT_THAT(marked(R"({"messages": [{"role": "user", "content": "a"},
                         {"role": "assistant", "reasoning_content": "t", "content": "b"}, {"role": "user", "content": "c"}]})",
                     section),
              ElementsAre("]~b]user\na[e~[\n]~b]ai\n<think>\n[[t\n</think>\n\nb[e~[]]\n"))
      << "a question without an answer is no reason to leave the thought out";
}

TEST(SupervisedText, ExpandedEveryAnswerKeepsItsThought) {
  DataSection section;
  section.history_thinking = HistoryThinking::expand;
  EXPECT_THAT(marked(kTwoTurns, section), ElementsAre("]~b]user\n1+1?[e~[\n"
                                                      "]~b]ai\n<think>\n[[easy\n</think>\n\n2[e~[]]\n",
                                                      "]~b]user\n1+1?[e~[\n"
                                                      "]~b]ai\n2[e~[\n"
                                                      "]~b]user\n2+2?[e~[\n"
                                                      "]~b]ai\n<think>\n[[hm\n</think>\n\n4[e~[]]\n"));
}

constexpr const char* kWithTool = R"({"messages": [
  {"role": "system", "content": "S"}, {"role": "user", "content": "time?"},
  {"role": "assistant", "reasoning_content": "A call.", "content": "Let me see.",
   "tool_calls": [{"function": {"name": "now", "arguments": "{\"zone\": \"北京\"}"}}]},
  {"role": "tool", "content": "12:00"},
  {"role": "assistant", "reasoning_content": "Noon.", "content": "It is noon."},
  {"role": "user", "content": "thanks"}, {"role": "assistant", "content": "Welcome."}],
  "tools": "[{\"type\": \"function\", \"function\": {\"name\": \"now\"}}]"})";

std::string first_turn(const std::string& call_thought, const std::string& answer_thought) {
  return "]~b]user\ntime?[e~[\n]~b]ai\n" + call_thought +
         "Let me see.\n<minimax:tool_call>\n<invoke name=\"now\">\n<parameter "
         "name=\"zone\">北京</parameter>\n</invoke>\n"
         "</minimax:tool_call>[e~[]]\n]~b]tool\n<response>12:00</response>[e~[\n]~b]ai\n" +
         answer_thought + "It is noon.[e~[]]\n";
}

TEST(SupervisedText, ToolCallsAreTrainedAndTheirResultsAreNot) {
  const std::vector<std::string> texts = marked(kWithTool);
  ASSERT_EQ(texts.size(), 1u);
  EXPECT_THAT(texts[0], ::testing::HasSubstr("<tool>{\"name\": \"now\"}</tool>")) << "tools given as text";
  EXPECT_THAT(texts[0],
              ::testing::EndsWith(first_turn("[[", "[[") + "]~b]user\nthanks[e~[\n]~b]ai\n[[Welcome.[e~[]]\n"));
  EXPECT_THAT(texts[0], ::testing::Not(::testing::ContainsRegex("\\[\\[.*\\[\\[.*\\[\\[.*\\[\\["))) << "three answers";
}

TEST(SupervisedText, ExpandedCallsAndAnswersOfOneTurnStayTogether) {
  DataSection section;
  section.history_thinking = HistoryThinking::expand;
  const std::vector<std::string> texts = marked(kWithTool, section);
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_THAT(texts[0],
              ::testing::EndsWith(first_turn("<think>\n[[A call.\n</think>\n\n", "<think>\n[[Noon.\n</think>\n\n")));
  EXPECT_THAT(texts[1], ::testing::EndsWith("It is noon.[e~[\n]~b]user\nthanks[e~[\n]~b]ai\n[[Welcome.[e~[]]\n"));
  EXPECT_EQ(texts[1].find("[["), texts[1].find("[[Welcome")) << "earlier answers were trained in the first sample";
}

TEST(SupervisedText, OtherFormsOfConversations) {
  EXPECT_THAT(
      marked(R"({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}], "id": 5})"),
      ElementsAre("]~b]user\nhi[e~[\n]~b]ai\n[[hello[e~[]]\n"));
  EXPECT_THAT(
      marked(R"({"system": "S", "conversations": [{"from": "human", "value": "time"},
                         {"from": "function_call", "value": "{\"name\": \"now\", \"arguments\": {}}"},
                         {"from": "observation", "value": "12"}, {"from": "gpt", "value": "noon"}]})"),
      ElementsAre("]~!b[]~b]system\nS[e~[\n]~b]user\ntime[e~[\n]~b]ai\n[[\n<minimax:tool_call>\n<invoke "
                  "name=\"now\">\n</invoke>\n</minimax:tool_call>[e~[]]\n]~b]tool\n<response>12</response>[e~[\n"
                  "]~b]ai\n[[noon[e~[]]\n"));
  EXPECT_THAT(marked(R"({"instruction": "Add", "input": "1 2", "output": "3"})"),
              ElementsAre("]~b]user\nAdd\n1 2[e~[\n]~b]ai\n[[3[e~[]]\n"));
  EXPECT_THAT(marked(R"({"instruction": "Say hi", "input": "", "output": "hi"})"),
              ElementsAre("]~b]user\nSay hi[e~[\n]~b]ai\n[[hi[e~[]]\n"));
}

TEST(SupervisedText, TextsAndCompletions) {
  EXPECT_THAT(marked(R"({"text": "The book. "})"), ElementsAre("The[[ book. [e~[]]")) << "nothing precedes the first";
  EXPECT_THAT(marked(R"({"text": "The book.[e~["})"), ElementsAre("The[[ book.[e~[]]")) << "ends with one end token";
  EXPECT_THAT(marked(R"({"prompt": "The book", "completion": " is here"})"), ElementsAre("The book[[ is here[e~[]]"));
  EXPECT_THAT(marked(R"({"prompt": "", "completion": "The book"})"), ElementsAre("The[[ book[e~[]]"));
}

TEST(SupervisedText, ATokenAcrossTheBorderCarriesLoss) {
  // " the" is one token, of which the prompt has the first two bytes.
  const std::vector<Document> documents = parse(R"({"prompt": "in t", "completion": "he book"})");
  EXPECT_EQ(documents[0].tokens[1], test::tokenizer().find("Ġthe"));
  EXPECT_EQ(documents[0].labels[1], documents[0].tokens[1]);
  EXPECT_EQ(documents[0].labels[0], kNoLabel);
}

TEST(SupervisedText, LabelsOfOtherTokensAreShown) {
  const Document document{.tokens = {72, 73, 74}, .labels = {kNoLabel, 73, 75}, .line = 3, .id = {1, 2, 0}};
  EXPECT_EQ(show_document(document, nullptr),
            "file 1, line 3, document 2 from token 0: 3 tokens, 2 with loss\n<72>[[<73><74>(label: <75>)]]\n");
}

TEST(ConversationSamples, CutsAtQuestions) {
  const auto samples = [](const char* roles, HistoryThinking history) {
    nlohmann::ordered_json messages = nlohmann::ordered_json::array();
    for (const char* role = roles; *role != 0; ++role) {
      messages.push_back({{"role", *role == 'u' ? "user" : *role == 'a' ? "assistant" : "tool"}});
    }
    std::vector<std::pair<std::size_t, std::size_t>> pairs;
    for (const ConversationSample& sample : conversation_samples(messages, TrainOn::all, history)) {
      pairs.emplace_back(sample.num_messages, sample.first_trained);
    }
    return pairs;
  };
  using Pair = std::pair<std::size_t, std::size_t>;
  constexpr auto kExpand = HistoryThinking::expand;
  EXPECT_THAT(samples("uaua", HistoryThinking::as_template), ElementsAre(Pair{4, 0}));
  EXPECT_THAT(samples("uaua", kExpand), ElementsAre(Pair{2, 0}, Pair{4, 2}));
  EXPECT_THAT(samples("uuatauau", kExpand), ElementsAre(Pair{5, 0}, Pair{7, 5})) << "the last question has no answer";
  EXPECT_THAT(samples("aua", kExpand), ElementsAre(Pair{1, 0}, Pair{3, 1}));
  EXPECT_THAT(samples("u", kExpand), ElementsAre(Pair{1, 0})) << "a sample without labels";
}

}  // namespace
}  // namespace m2
