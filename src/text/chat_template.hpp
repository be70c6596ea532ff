// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

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

/// The identity that a chat_template.jinja gives a conversation without a system message: the literal of its
/// `set model_identity = "..."`, or kPlainSystemPrompt where it has none.
std::string default_system_prompt(std::string_view chat_template_jinja);

}  // namespace m2
