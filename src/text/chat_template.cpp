// SPDX-License-Identifier: Apache-2.0
// The text of chat_template.jinja in the released MiniMax-M2 checkpoints, rendered as transformers does (trim_blocks,
// lstrip_blocks, tojson without ASCII escapes). Where the template drops a message silently, prints Python's `None` or
// breaks inside Jinja, this refuses with a message; a null content is empty, as OpenAI clients mean it.
#include "text/chat_template.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"
#include "text/python_json.hpp"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kBegin = "]~!b[";
constexpr std::string_view kSystemTurn = "]~b]system\n";
constexpr std::string_view kUserTurn = "]~b]user\n";
constexpr std::string_view kAssistantTurn = "]~b]ai\n";
constexpr std::string_view kToolTurn = "]~b]tool";
constexpr std::string_view kEndOfTurn = "[e~[\n";
constexpr std::string_view kThinkBegin = "<think>";
constexpr std::string_view kThinkEnd = "</think>";
constexpr std::string_view kToolsIntroduction =
    "\n\n# Tools\n"
    "You may call one or more tools to assist with the user query.\n"
    "Here are the tools available in JSONSchema format:\n"
    "\n<tools>\n";
constexpr std::string_view kToolsInstruction =
    "</tools>\n\n"
    "When making tool calls, use XML format to invoke tools and pass parameters:\n"
    "\n<minimax:tool_call>\n"
    "<invoke name=\"tool-name-1\">\n"
    "<parameter name=\"param-key-1\">param-value-1</parameter>\n"
    "<parameter name=\"param-key-2\">param-value-2</parameter>\n"
    "...\n"
    "</invoke>\n"
    "</minimax:tool_call>";

[[noreturn]] void refuse(const std::string& place, const Json& found, std::string_view expected) {
  raise("{} is {}; expected {}", place, found.is_null() ? "missing or null" : found.type_name(), expected);
}

const Json& member(const Json& object, const char* key) {
  static const Json kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

const std::string& string_member(const Json& object, const char* key, const std::string& place) {
  const Json& value = member(object, key);
  if (!value.is_string()) refuse(place + "." + key, value, "a string");
  return value.get_ref<const std::string&>();
}

std::string_view strip_newlines(std::string_view text) {
  const std::size_t begin = text.find_first_not_of('\n');
  return begin == text.npos ? std::string_view() : text.substr(begin, text.find_last_not_of('\n') + 1 - begin);
}

// One part of a content: a string, or {"type": "text", "text": ...}.
std::string part_text(const Json& part, const std::string& place) {
  if (part.is_string()) return part.get<std::string>();
  const bool is_text = part.is_object() && member(part, "type") == "text";
  if (!is_text) refuse(place, part, "a string or {\"type\": \"text\", \"text\": ...}; this model reads text only");
  return string_member(part, "text", place);
}

std::string visible_text(const Json& content, const std::string& place) {
  if (content.is_null()) return {};
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) refuse(place, content, "a string or an array of text parts");
  std::string text;
  for (std::size_t i = 0; i < content.size(); ++i) text += part_text(content[i], fmt::format("{}[{}]", place, i));
  return text;
}

struct AssistantText {
  std::string reasoning, content;
};

AssistantText split_reasoning(const Json& message, const std::string& place) {
  AssistantText text{.reasoning = {}, .content = visible_text(member(message, "content"), place + ".content")};
  const Json& reasoning = member(message, "reasoning_content");
  if (reasoning.is_string()) {
    text.reasoning = reasoning.get<std::string>();
    return text;
  }
  if (!reasoning.is_null()) refuse(place + ".reasoning_content", reasoning, "a string or null");
  const std::string_view whole = text.content;
  const std::size_t first_end = whole.find(kThinkEnd);
  if (first_end == whole.npos) return text;
  std::string_view thought = strip_newlines(whole.substr(0, first_end));
  if (const std::size_t begin = thought.rfind(kThinkBegin); begin != thought.npos) {
    thought.remove_prefix(begin + kThinkBegin.size());
  }
  const std::string_view answer = whole.substr(whole.rfind(kThinkEnd) + kThinkEnd.size());
  return {std::string(strip_newlines(thought)), std::string(strip_newlines(answer))};
}

// A tool call's arguments: an object, or the text of one as OpenAI's interface has it.
Json parse_arguments(const Json& arguments, const std::string& place) {
  constexpr std::string_view kExpected = "an object, or a string with the JSON of one";
  if (arguments.is_null()) return Json::object();
  if (arguments.is_object()) return arguments;
  if (!arguments.is_string()) refuse(place, arguments, kExpected);
  const Json parsed = Json::parse(arguments.get_ref<const std::string&>(), nullptr, /*allow_exceptions=*/false);
  M2_REQUIRE(parsed.is_object(), "{} is a string that does not hold a JSON object; expected {}", place, kExpected);
  return parsed;
}

void append_tool_call(const Json& tool_call, const std::string& place, std::string& out) {
  if (!tool_call.is_object()) refuse(place, tool_call, "an object");
  const Json& function = member(tool_call, "function");
  if (!function.is_null() && !function.is_object()) refuse(place + ".function", function, "an object");
  const Json& call = function.is_null() ? tool_call : function;
  const std::string call_place = function.is_null() ? place : place + ".function";
  out += fmt::format("<invoke name=\"{}\">\n", string_member(call, "name", call_place));
  const Json arguments = parse_arguments(member(call, "arguments"), call_place + ".arguments");
  for (const auto& [key, value] : arguments.items()) {
    out += fmt::format("<parameter name=\"{}\">{}</parameter>\n", key,
                       value.is_string() ? value.get<std::string>() : python_json(value));
  }
  out += "</invoke>\n";
}

void append_system(const Json* system, const Json& tools, const ChatOptions& options, std::string& out) {
  static const Json kNoMessage = Json::object();
  const Json& message = system != nullptr ? *system : kNoMessage;
  const Json& content = member(message, "content");
  // The template asks whether there is any content; a part without text is some.
  const bool is_given = !content.empty() && content != "";
  const std::string text = visible_text(content, "messages[0].content");
  out += fmt::format("{}{}{}", kBegin, kSystemTurn, is_given ? text : options.default_system);
  const auto append_line = [&](const char* key, const char* title, const std::optional<std::string>& option) {
    const Json& value = member(message, key);
    const std::string line = value.is_null() ? option.value_or("") : string_member(message, key, "messages[0]");
    if (!line.empty()) out += fmt::format("\n{}: {}", title, line);
  };
  append_line("current_date", "Current date", options.current_date);
  append_line("current_location", "Current location", options.current_location);
  if (!tools.is_null() && !tools.is_array()) refuse("tools", tools, "an array");
  if (!tools.empty()) {
    out += kToolsIntroduction;
    for (std::size_t i = 0; i < tools.size(); ++i) {
      const std::string place = fmt::format("tools[{}]", i);
      if (!tools[i].is_object()) refuse(place, tools[i], "an object");
      const Json& function = member(tools[i], "function");
      if (!function.is_object()) refuse(place + ".function", function, "an object");
      out += fmt::format("<tool>{}</tool>\n", python_json(function));
    }
    out += kToolsInstruction;
  }
  out += kEndOfTurn;
}

// The messages after the system message, one after the other.
class Conversation {
 public:
  Conversation(const Json& messages, std::size_t first, RenderedChat& chat)
      : messages_(messages), first_(first), out_(chat.text), turns_(chat.turns) {
    for (std::size_t i = first; i < messages.size(); ++i) {
      if (role(i) == "user") num_until_last_user_ = i + 1;
    }
  }

  void append_all() {
    for (std::size_t i = first_; i < messages_.size(); ++i) {
      if (role(i) == "user") {
        out_ += kUserTurn;
        out_ += visible_text(member(messages_[i], "content"), place(i) + ".content");
        out_ += kEndOfTurn;
      } else if (role(i) == "assistant") {
        append_assistant(i);
      } else if (role(i) == "tool") {
        append_tool_result(i);
      } else {
        raise("{}.role is '{}'; expected user, assistant or tool, or system for the first message", place(i), role(i));
      }
    }
  }

 private:
  static std::string place(std::size_t i) { return fmt::format("messages[{}]", i); }
  std::string_view role(std::size_t i) const { return string_member(messages_[i], "role", place(i)); }
  bool is_tool(std::size_t i) const { return i >= first_ && i < messages_.size() && role(i) == "tool"; }

  void append_assistant(std::size_t i) {
    const AssistantText text = split_reasoning(messages_[i], place(i));
    out_ += kAssistantTurn;
    AssistantTurn turn{.message = i, .begin = out_.size(), .answer_begin = out_.size(), .end = 0};
    // Earlier turns are given without their reasoning; what follows the last user message is one train of thought.
    if (!text.reasoning.empty() && i >= num_until_last_user_) {
      out_ += fmt::format("{}\n", kThinkBegin);
      turn.begin = out_.size();
      out_ += fmt::format("{}\n{}\n\n", text.reasoning, kThinkEnd);
      turn.answer_begin = out_.size();
    }
    out_ += text.content;
    const Json& tool_calls = member(messages_[i], "tool_calls");
    if (!tool_calls.is_null() && !tool_calls.is_array()) refuse(place(i) + ".tool_calls", tool_calls, "an array");
    last_assistant_called_ = !tool_calls.empty();
    if (last_assistant_called_) {
      out_ += "\n<minimax:tool_call>\n";
      for (std::size_t call = 0; call < tool_calls.size(); ++call) {
        append_tool_call(tool_calls[call], fmt::format("{}.tool_calls[{}]", place(i), call), out_);
      }
      out_ += "</minimax:tool_call>";
    }
    out_ += kEndOfTurn;
    turn.end = out_.size() - 1;
    turns_.push_back(turn);
  }

  void append_tool_result(std::size_t i) {
    M2_REQUIRE(last_assistant_called_,
               "{}.role is 'tool', but the assistant message before it has no tool_calls; a tool result answers a call",
               place(i));
    if (!is_tool(i - 1)) out_ += kToolTurn;
    const Json& content = member(messages_[i], "content");
    const std::string content_place = place(i) + ".content";
    if (content.is_string()) {
      out_ += fmt::format("\n<response>{}</response>", content.get_ref<const std::string&>());
    } else if (content.is_array()) {
      // The template closes the response of a part, unlike that of a string, on a line of its own.
      for (std::size_t part = 0; part < content.size(); ++part) {
        const std::string text = part_text(content[part], fmt::format("{}[{}]", content_place, part));
        out_ += fmt::format("\n<response>{}\n</response>", text);
      }
    } else {
      refuse(content_place, content, "a string or an array of text parts");
    }
    if (!is_tool(i + 1)) out_ += kEndOfTurn;
  }

  const Json& messages_;
  std::size_t first_;
  std::string& out_;
  std::vector<AssistantTurn>& turns_;
  std::size_t num_until_last_user_ = 0;
  bool last_assistant_called_ = false;
};

}  // namespace

RenderedChat render_chat_turns(const Json& messages, const Json& tools, const ChatOptions& options) {
  if (!messages.is_array()) refuse("messages", messages, "an array");
  M2_REQUIRE(!messages.empty(), "messages is empty; expected at least one message");
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (!messages[i].is_object()) refuse(fmt::format("messages[{}]", i), messages[i], "an object");
  }
  const bool has_system = member(messages[0], "role") == "system";
  RenderedChat chat;
  append_system(has_system ? &messages[0] : nullptr, tools, options, chat.text);
  Conversation(messages, has_system ? 1 : 0, chat).append_all();
  if (options.add_generation_prompt) chat.text += fmt::format("{}{}\n", kAssistantTurn, kThinkBegin);
  return chat;
}

std::string render_chat(const Json& messages, const Json& tools, const ChatOptions& options) {
  return render_chat_turns(messages, tools, options).text;
}

std::string default_system_prompt(std::string_view chat_template_jinja) {
  constexpr std::string_view kName = "set model_identity";
  static constexpr std::string_view kSpace = " \t\r\n";
  const std::string fallback(kPlainSystemPrompt);
  std::string_view rest = chat_template_jinja;
  const auto skip = [&rest](std::size_t bytes) {
    rest.remove_prefix(bytes);
    rest.remove_prefix(std::min(rest.find_first_not_of(kSpace), rest.size()));
  };
  const std::size_t name = rest.find(kName);
  if (name == rest.npos) return fallback;
  skip(name + kName.size());
  if (!rest.starts_with('=')) return fallback;
  skip(1);
  if (!rest.starts_with('"') && !rest.starts_with('\'')) return fallback;
  const char quote = rest[0];
  std::string text;
  for (std::size_t i = 1; i < rest.size(); ++i) {
    if (rest[i] == quote) return text;
    const bool escaped = rest[i] == '\\' && i + 1 < rest.size();
    if (escaped) ++i;
    text += escaped && rest[i] == 'n' ? '\n' : rest[i];
  }
  return fallback;
}

}  // namespace m2
