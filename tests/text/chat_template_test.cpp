// SPDX-License-Identifier: Apache-2.0
#include "text/chat_template.hpp"

#include <gmock/gmock.h>

#include "core/error.hpp"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

std::string render(const char* messages, const char* tools = "null", const ChatOptions& options = {}) {
  return render_chat(Json::parse(messages), Json::parse(tools), options);
}

TEST(ChatTemplate, OneQuestion) {
  EXPECT_EQ(render(R"([{"role": "user", "content": "Hello"}])"),
            "]~!b[]~b]system\nYou are a helpful assistant.[e~[\n"
            "]~b]user\nHello[e~[\n"
            "]~b]ai\n<think>\n");
}

TEST(ChatTemplate, SystemTextDateAndPlace) {
  ChatOptions options{.default_system = "You are MiniMax.", .current_date = "2026-03-01", .current_location = "Oslo"};
  options.add_generation_prompt = false;
  EXPECT_EQ(render(R"([{"role": "user", "content": "Hi"}])", "null", options),
            "]~!b[]~b]system\nYou are MiniMax.\nCurrent date: 2026-03-01\nCurrent location: Oslo[e~[\n"
            "]~b]user\nHi[e~[\n");
  EXPECT_EQ(render(R"([{"role": "system", "content": "Be brief.", "current_date": "today"}])", "null", options),
            "]~!b[]~b]system\nBe brief.\nCurrent date: today\nCurrent location: Oslo[e~[\n");
  EXPECT_EQ(render(R"([{"role": "system", "content": ""}])", "[]"),
            "]~!b[]~b]system\nYou are a helpful assistant.[e~[\n]~b]ai\n<think>\n")
      << "an empty system text is none";
  EXPECT_EQ(render(R"([{"role": "system", "content": [""]}])"), "]~!b[]~b]system\n[e~[\n]~b]ai\n<think>\n")
      << "a part without text is a system text";
}

TEST(ChatTemplate, ContentInParts) {
  EXPECT_EQ(render(R"([{"role": "system", "content": [{"type": "text", "text": "A"}, "B"]},
                       {"role": "user", "content": [{"type": "text", "text": "x\n"}, {"type": "text", "text": "y"}]}])"),
            "]~!b[]~b]system\nAB[e~[\n]~b]user\nx\ny[e~[\n]~b]ai\n<think>\n");
}

TEST(ChatTemplate, ReasoningIsKeptOnlyAfterTheLastUserMessage) {
  EXPECT_EQ(render(R"([{"role": "user", "content": "1+1?"},
                       {"role": "assistant", "reasoning_content": "easy", "content": "2"},
                       {"role": "user", "content": "2+2?"},
                       {"role": "assistant", "reasoning_content": "hm", "content": "4"}])"),
            "]~!b[]~b]system\nYou are a helpful assistant.[e~[\n"
            "]~b]user\n1+1?[e~[\n"
            "]~b]ai\n2[e~[\n"
            "]~b]user\n2+2?[e~[\n"
            "]~b]ai\n<think>\nhm\n</think>\n\n4[e~[\n"
            "]~b]ai\n<think>\n");
}

TEST(ChatTemplate, ReasoningInsideTheContentIsSplitOff) {
  const auto turn = [](const char* assistant) {
    const Json message = {{"role", "assistant"}, {"content", assistant}};
    const std::string all = render_chat(Json::array({message}), nullptr, {.add_generation_prompt = false});
    return all.substr(all.find("]~b]ai"));
  };
  EXPECT_EQ(turn("<think>\nwhy\nnot\n</think>\n\n42\n"), "]~b]ai\n<think>\nwhy\nnot\n</think>\n\n42[e~[\n");
  EXPECT_EQ(turn("why</think>42"), "]~b]ai\n<think>\nwhy\n</think>\n\n42[e~[\n") << "as the model itself writes it";
  EXPECT_EQ(turn("<think>\n\n</think>\n42"), "]~b]ai\n42[e~[\n") << "no empty thought";
  EXPECT_EQ(turn("a</think>b</think>c"), "]~b]ai\n<think>\na\n</think>\n\nc[e~[\n") << "first thought, last answer";
  EXPECT_EQ(turn("\n 42 \n"), "]~b]ai\n\n 42 \n[e~[\n") << "untouched without a thought";
  EXPECT_EQ(render(R"([{"role": "assistant", "reasoning_content": "", "content": "a</think>b"}])", "null",
                   {.add_generation_prompt = false}),
            "]~!b[]~b]system\nYou are a helpful assistant.[e~[\n]~b]ai\na</think>b[e~[\n")
      << "a given reasoning, even an empty one, leaves the content alone";
}

constexpr const char* kWeatherTool =
    R"([{"type": "function", "function": {"name": "get_weather", "description": "Wetter für <eine> Stadt",
  "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}, "weight": 1e-5}}])";

TEST(ChatTemplate, ToolsCallsAndResults) {
  EXPECT_EQ(
      render(R"([{"role": "user", "content": "Weather in 北京 and Oslo?"},
                 {"role": "assistant", "content": "I will look.", "reasoning_content": "Two calls.", "tool_calls": [
                   {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\": \"北京\", \"days\": 3}"}},
                   {"name": "get_weather", "arguments": {"city": "Oslo", "detail": {"wind": true, "units": ["m", null]}}}]},
                 {"role": "tool", "content": "sunny\n"},
                 {"role": "tool", "content": [{"type": "text", "text": "rain"}, "cold"]},
                 {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "now", "arguments": {}}}]},
                 {"role": "tool", "content": "12:00"}])",
             kWeatherTool),
      "]~!b[]~b]system\nYou are a helpful assistant.\n\n"
      "# Tools\n"
      "You may call one or more tools to assist with the user query.\n"
      "Here are the tools available in JSONSchema format:\n\n"
      "<tools>\n"
      "<tool>{\"name\": \"get_weather\", \"description\": \"Wetter für <eine> Stadt\", \"parameters\": {\"type\": "
      "\"object\", \"properties\": {\"city\": {\"type\": \"string\"}}, \"required\": [\"city\"]}, \"weight\": "
      "1e-05}</tool>\n"
      "</tools>\n\n"
      "When making tool calls, use XML format to invoke tools and pass parameters:\n\n"
      "<minimax:tool_call>\n"
      "<invoke name=\"tool-name-1\">\n"
      "<parameter name=\"param-key-1\">param-value-1</parameter>\n"
      "<parameter name=\"param-key-2\">param-value-2</parameter>\n"
      "...\n"
      "</invoke>\n"
      "</minimax:tool_call>[e~[\n"
      "]~b]user\nWeather in 北京 and Oslo?[e~[\n"
      "]~b]ai\n<think>\nTwo calls.\n</think>\n\nI will look.\n"
      "<minimax:tool_call>\n"
      "<invoke name=\"get_weather\">\n"
      "<parameter name=\"city\">北京</parameter>\n"
      "<parameter name=\"days\">3</parameter>\n"
      "</invoke>\n"
      "<invoke name=\"get_weather\">\n"
      "<parameter name=\"city\">Oslo</parameter>\n"
      "<parameter name=\"detail\">{\"wind\": true, \"units\": [\"m\", null]}</parameter>\n"
      "</invoke>\n"
      "</minimax:tool_call>[e~[\n"
      "]~b]tool\n<response>sunny\n</response>\n<response>rain\n</response>\n<response>cold\n</response>[e~[\n"
      "]~b]ai\n\n<minimax:tool_call>\n<invoke name=\"now\">\n</invoke>\n</minimax:tool_call>[e~[\n"
      "]~b]tool\n<response>12:00</response>[e~[\n"
      "]~b]ai\n<think>\n");
}

// What the model writes in each turn, the thought in front of '|'.
std::vector<std::string> written(const char* messages) {
  const RenderedChat chat = render_chat_turns(Json::parse(messages), nullptr, {.add_generation_prompt = false});
  std::vector<std::string> turns;
  for (const AssistantTurn& turn : chat.turns) {
    turns.push_back(std::to_string(turn.message) + ": " + chat.text.substr(turn.begin, turn.answer_begin - turn.begin) +
                    "|" + chat.text.substr(turn.answer_begin, turn.end - turn.answer_begin));
  }
  return turns;
}

TEST(ChatTemplate, TurnsAreWhatTheModelWrites) {
  using ::testing::ElementsAre;
  EXPECT_THAT(written(R"([{"role": "user", "content": "1+1?"},
                          {"role": "assistant", "reasoning_content": "easy", "content": "2"},
                          {"role": "user", "content": "2+2?"},
                          {"role": "assistant", "content": "<think>\nhm\n</think>\n\n4"}])"),
              ElementsAre("1: |2[e~[", "3: hm\n</think>\n\n|4[e~["));
  EXPECT_THAT(written(R"([{"role": "system", "content": "S"}, {"role": "user", "content": "time?"},
                          {"role": "assistant", "content": "", "reasoning_content": "A call.", "tool_calls": [{"name": "now"}]},
                          {"role": "tool", "content": "12"}, {"role": "assistant", "content": "noon"},
                          {"role": "user", "content": "thanks"}])"),
              ElementsAre("2: |\n<minimax:tool_call>\n<invoke name=\"now\">\n</invoke>\n</minimax:tool_call>[e~[",
                          "4: |noon[e~["));
  EXPECT_THAT(written(R"([{"role": "user", "content": "time?"},
                          {"role": "assistant", "reasoning_content": "A call.", "tool_calls": [{"name": "now"}]},
                          {"role": "tool", "content": "12"},
                          {"role": "assistant", "reasoning_content": "Noon.", "content": "noon"}])"),
              ElementsAre("1: A call.\n</think>\n\n|\n<minimax:tool_call>\n<invoke name=\"now\">\n</invoke>\n"
                          "</minimax:tool_call>[e~[",
                          "3: Noon.\n</think>\n\n|noon[e~["));
  EXPECT_TRUE(render_chat_turns(Json::parse(R"([{"role": "user", "content": "a"}])"), nullptr).turns.empty())
      << "the generation prompt is no turn";
}

struct Refusal {
  const char* messages;
  const char* tools;
  const char* message;
};

void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.message; }

class ChatTemplateRefusal : public ::testing::TestWithParam<Refusal> {};

TEST_P(ChatTemplateRefusal, NamesMessageAndKey) {
  try {
    render(GetParam().messages, GetParam().tools);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), GetParam().message);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, ChatTemplateRefusal,
    ::testing::Values(
        Refusal{"{}", "null", "messages is object; expected an array"},
        Refusal{"[]", "null", "messages is empty; expected at least one message"},
        Refusal{R"(["hi"])", "null", "messages[0] is string; expected an object"},
        Refusal{R"([{"content": "hi"}])", "null", "messages[0].role is missing or null; expected a string"},
        Refusal{R"([{"role": "user", "content": "a"}, {"role": "developer", "content": "b"}])", "null",
                "messages[1].role is 'developer'; expected user, assistant or tool, or system for the first message"},
        Refusal{R"([{"role": "user", "content": "a"}, {"role": "system", "content": "b"}])", "null",
                "messages[1].role is 'system'; expected user, assistant or tool, or system for the first message"},
        Refusal{R"([{"role": "user", "content": 7}])", "null",
                "messages[0].content is number; expected a string or an array of text parts"},
        Refusal{
            R"([{"role": "user", "content": [{"type": "image_url"}]}])", "null",
            "messages[0].content[0] is object; expected a string or {\"type\": \"text\", \"text\": ...}; this model "
            "reads text only"},
        Refusal{R"([{"role": "user", "content": [{"type": "text"}]}])", "null",
                "messages[0].content[0].text is missing or null; expected a string"},
        Refusal{R"([{"role": "system", "content": "x", "current_date": 5}])", "null",
                "messages[0].current_date is number; expected a string"},
        Refusal{R"([{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}])", "null",
                "messages[1].role is 'tool', but the assistant message before it has no tool_calls; a tool result "
                "answers a call"},
        Refusal{R"([{"role": "assistant", "content": "a", "reasoning_content": 1}])", "null",
                "messages[0].reasoning_content is number; expected a string or null"},
        Refusal{R"([{"role": "assistant", "tool_calls": {}}])", "null",
                "messages[0].tool_calls is object; expected an array"},
        Refusal{R"([{"role": "assistant", "tool_calls": [{"function": {}}]}])", "null",
                "messages[0].tool_calls[0].function.name is missing or null; expected a string"},
        Refusal{
            R"([{"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{"}]}])", "null",
            "messages[0].tool_calls[0].arguments is a string that does not hold a JSON object; expected an object, or "
            "a string with the JSON of one"},
        Refusal{R"([{"role": "assistant", "tool_calls": [{"name": "f", "arguments": [1]}]}])", "null",
                "messages[0].tool_calls[0].arguments is array; expected an object, or a string with the JSON of one"},
        Refusal{R"([{"role": "assistant", "tool_calls": [{"name": "f"}]}, {"role": "tool"}])", "null",
                "messages[1].content is missing or null; expected a string or an array of text parts"},
        Refusal{
            R"([{"role": "assistant", "tool_calls": [{"name": "f"}]}, {"role": "tool", "content": ["a", 1]}])", "null",
            "messages[1].content[1] is number; expected a string or {\"type\": \"text\", \"text\": ...}; this model "
            "reads text only"},
        Refusal{R"([{"role": "user", "content": "a"}])", "{}", "tools is object; expected an array"},
        Refusal{R"([{"role": "user", "content": "a"}])", R"([{"name": "f"}])",
                "tools[0].function is missing or null; expected an object"}));

TEST(ChatTemplate, IdentityOfTheCheckpoint) {
  EXPECT_EQ(
      default_system_prompt("{%- if model_identity is not defined -%}\n  {%- set model_identity = \"You are a helpful "
                            "assistant. Your name is MiniMax-M2.7.\" -%}"),
      "You are a helpful assistant. Your name is MiniMax-M2.7.");
  EXPECT_EQ(default_system_prompt("{% set model_identity='It\\'s \"M2\"\\n' %}"), "It's \"M2\"\n");
  for (const char* without : {"", "{{ model_identity }}", "{% set model_identity", "{% set model_identity = other %}",
                              "{% set model_identity = \"open"}) {
    EXPECT_EQ(default_system_prompt(without), kPlainSystemPrompt) << without;
  }
}

}  // namespace
}  // namespace m2
