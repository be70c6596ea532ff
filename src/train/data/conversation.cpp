// SPDX-License-Identifier: Apache-2.0
#include "train/data/conversation.hpp"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

#include "core/error.hpp"
#include "io/strict_json.hpp"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kRoles{{{"system", "system"},
                                                                               {"human", "user"},
                                                                               {"user", "user"},
                                                                               {"gpt", "assistant"},
                                                                               {"assistant", "assistant"},
                                                                               {"model", "assistant"},
                                                                               {"chatgpt", "assistant"},
                                                                               {"tool", "tool"},
                                                                               {"observation", "tool"}}};

// The message of a turn that calls tools: its value is the JSON of one call or of a list of them.
Json function_call(const Json& value, const std::string& place) {
  M2_REQUIRE(value.is_string(), "{} is of type {}, expected the JSON of a call as text", place, value.type_name());
  Json calls = parse_strict_json<Json>(value.get_ref<const std::string&>(), place);
  if (!calls.is_array()) calls = Json::array({std::move(calls)});
  return {{"role", "assistant"}, {"content", ""}, {"tool_calls", std::move(calls)}};
}

Json message_of(const Json& turn, std::size_t index) {
  const Json &from = turn["from"], &value = turn["value"];
  if (from == "function_call") return function_call(value, fmt::format("conversations[{}].value", index));
  for (const auto& [name, role] : kRoles) {
    if (from == Json(name)) return {{"role", role}, {"content", value}};
  }
  raise(
      "conversations[{}].from is {}; expected system, human, user, gpt, assistant, model, chatgpt, function_call, tool "
      "or observation",
      index, json_excerpt(from));
}

bool has_role(const Json& message, std::string_view role) {
  return message.is_object() && message.contains("role") && message["role"] == Json(role);
}

}  // namespace

Json sharegpt_messages(const Json& conversations) {
  M2_REQUIRE(conversations.is_array(), "'conversations' is of type {}, expected a list of {{\"from\", \"value\"}}",
             conversations.type_name());
  Json messages = Json::array();
  for (std::size_t i = 0; i < conversations.size(); ++i) {
    const Json& turn = conversations[i];
    M2_REQUIRE(turn.is_object() && turn.contains("from") && turn.contains("value"),
               "conversations[{}] is {}; expected an object with 'from' and 'value'", i, json_excerpt(turn));
    messages.push_back(message_of(turn, i));
  }
  return messages;
}

Json alpaca_messages(const std::string& instruction, const std::string& input, const std::string& output) {
  const std::string question = input.empty() ? instruction : instruction + "\n" + input;
  return Json::array({{{"role", "user"}, {"content", question}}, {{"role", "assistant"}, {"content", output}}});
}

std::vector<ConversationSample> conversation_samples(const Json& messages, TrainOn train_on,
                                                     HistoryThinking history_thinking) {
  const std::size_t count = messages.size();
  if (train_on == TrainOn::last) {
    for (std::size_t i = count; i > 0; --i) {
      if (has_role(messages[i - 1], "assistant")) return {{i, i - 1}};
    }
    return {{count, count}};
  }
  if (history_thinking == HistoryThinking::as_template) return {{count, 0}};
  std::vector<ConversationSample> samples;
  std::size_t first_untrained = 0;
  bool answered = false;
  for (std::size_t i = 0; i <= count; ++i) {
    if (i == count || has_role(messages[i], "user")) {
      if (answered) {
        samples.push_back({i, first_untrained});
        first_untrained = i;
        answered = false;
      }
    } else if (has_role(messages[i], "assistant")) {
      answered = true;
    }
  }
  if (samples.empty()) samples.push_back({count, 0});  // nothing is trained: one sample without labels
  return samples;
}

}  // namespace m2
