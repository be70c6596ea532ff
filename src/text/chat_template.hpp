// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace m2 {

inline constexpr std::string_view kPlainSystemPrompt = "You are a helpful assistant.";

struct ChatOptions {
  /// System text where the messages have none.
  std::string default_system{kPlainSystemPrompt};
  /// Ends with the opening of an assistant turn, `<think>` included, so that the model goes on from there.
  bool add_generation_prompt = true;
  /// Lines for the system turn, as free text; the keys of the same names in the system message win.
  std::optional<std::string> current_date{};
  std::optional<std::string> current_location{};
};

/// The prompt of a conversation, as the chat_template.jinja of the released MiniMax-M2 checkpoints renders it.
/// `messages` is an array of OpenAI-style objects, `tools` an array of {"type": "function", "function": {...}} or null;
/// both keep their key order. Throws Error naming the message index and key for what the template would refuse or
/// silently drop.
std::string render_chat(const nlohmann::ordered_json& messages, const nlohmann::ordered_json& tools,
                        const ChatOptions& options = {});

/// Where an assistant message lies in a rendered conversation, in bytes. [begin, end) is what a model writes: not the
/// role, and not the opening `<think>`, which the generation prompt has; but the end of the thought and, as the last
/// thing, the end-of-turn token. [answer_begin, end) is all that follows the thought; without a thought both begin
/// together.
struct AssistantTurn {
  std::size_t message;  ///< index in the messages
  std::size_t begin, answer_begin, end;
};

struct RenderedChat {
  std::string text;
  std::vector<AssistantTurn> turns;  ///< of every assistant message, in order
};

/// The same text as render_chat, and where the assistant's messages are in it.
RenderedChat render_chat_turns(const nlohmann::ordered_json& messages, const nlohmann::ordered_json& tools,
                               const ChatOptions& options = {});

/// The identity that a chat_template.jinja gives a conversation without a system message: the literal of its
/// `set model_identity = "..."`, or kPlainSystemPrompt where it has none.
std::string default_system_prompt(std::string_view chat_template_jinja);

}  // namespace m2
