// SPDX-License-Identifier: Apache-2.0
#include "train/data/line_parser.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "core/error.hpp"
#include "core/nearest.hpp"
#include "io/strict_json.hpp"
#include "text/chat_template.hpp"
#include "train/data/conversation.hpp"

namespace m2 {
namespace {

constexpr std::array<std::string_view, 6> kForms{"text",      "prompt",        "messages",
                                                 "token_ids", "conversations", "instruction"};
constexpr std::array<std::string_view, 12> kKeys{"text",        "prompt",    "completion", "messages",
                                                 "tools",       "token_ids", "labels",     "conversations",
                                                 "instruction", "input",     "output",     "system"};
constexpr std::string_view kExpected =
    "expected 'text', 'prompt' and 'completion', 'messages', 'conversations', 'instruction' and 'output', or "
    "'token_ids'";

std::map<std::string, std::string, std::less<>> parse_columns(const std::vector<std::string>& columns) {
  std::map<std::string, std::string, std::less<>> parsed;
  const std::vector<std::string> known(kKeys.begin(), kKeys.end());
  for (const std::string& column : columns) {
    const std::size_t sign = column.find('=');
    const std::string ours = column.substr(0, sign);
    if (sign == column.npos || sign + 1 == column.size() || std::ranges::find(known, ours) == known.end()) {
      raise_usage("data.columns: found '{}', expected OURS=THEIRS with one of {} on the left{}", column,
                  fmt::join(kKeys, ", "), sign == column.npos ? "" : did_you_mean(ours, known));
    }
    if (!parsed.emplace(ours, column.substr(sign + 1)).second) raise_usage("data.columns gives '{}' twice", ours);
  }
  return parsed;
}

std::vector<std::int32_t> whole_numbers(const nlohmann::ordered_json& list, const std::string& name, std::int64_t min,
                                        std::int64_t max, std::optional<std::int64_t> also) {
  M2_REQUIRE(list.is_array(), "'{}' is of type {}, expected a list of whole numbers", name, list.type_name());
  std::vector<std::int32_t> numbers;
  for (const auto& value : list) {
    const auto number = whole_number(value, std::min(min, also.value_or(min)), max);
    M2_REQUIRE(number && (*number >= min || number == also),
               "{}[{}] is {}, expected a whole number from {} to {} (vocab_size - 1){}", name, numbers.size(),
               json_excerpt(value), min, max, also ? fmt::format(" or {}", *also) : "");
    numbers.push_back(std::int32_t(*number));
  }
  return numbers;
}

}  // namespace

LineParser::LineParser(const DataSection& section, const DataContext& context)
    : section_(section), context_(context), columns_(parse_columns(section.columns)) {}

std::vector<Document> LineParser::parse(std::string_view line, const std::string& where) const {
  const Json object = parse_strict_json<Json>(line, where);
  try {
    M2_REQUIRE(object.is_object(), "found JSON of type {}, expected an object: {}", object.type_name(), kExpected);
    return parse_object(object);
  } catch (const Error& error) {
    raise("{}: {}", where, error.what());
  }
}

std::string LineParser::name(std::string_view key) const {
  const auto mapped = columns_.find(key);
  return mapped == columns_.end() ? std::string(key) : mapped->second;
}

const LineParser::Json* LineParser::find(const Json& line, std::string_view key) const {
  if (!columns_.empty() && !columns_.contains(key)) return nullptr;
  const auto found = line.find(name(key));
  return found == line.end() || found->is_null() ? nullptr : &*found;
}

const std::string& LineParser::text(const Json& line, std::string_view key) const {
  const Json* const value = find(line, key);
  M2_REQUIRE(value != nullptr, "there is no '{}'; {}", name(key), kExpected);
  M2_REQUIRE(value->is_string(), "'{}' is of type {}, expected text", name(key), value->type_name());
  return value->get_ref<const std::string&>();
}

std::vector<Document> LineParser::parse_object(const Json& line) const {
  std::string_view form;
  for (const std::string_view key : kForms) {
    if (find(line, key) == nullptr) continue;
    M2_REQUIRE(form.empty(), "found both '{}' and '{}', expected one; data.columns says which, such as [{}={}]",
               name(form), name(key), form, name(form));
    form = key;
  }
  if (form.empty()) {
    std::vector<std::string> keys;
    for (const auto& [key, value] : line.items()) keys.push_back(key);
    raise("found {}, {}; data.columns renames keys",
          keys.empty() ? "no keys" : fmt::format("'{}'", fmt::join(keys, "', '")), kExpected);
  }
  if (form == "token_ids") return {parse_token_ids(line)};
  if (form == "messages") return parse_messages(*find(line, form), line);
  if (form == "conversations") return parse_messages(sharegpt_messages(*find(line, form)), line);
  if (form == "instruction") {
    const std::string input = find(line, "input") == nullptr ? "" : text(line, "input");
    return parse_messages(alpaca_messages(text(line, form), input, text(line, "output")), line);
  }
  const std::string joined = form == "text" ? text(line, form) : text(line, form) + text(line, "completion");
  const std::size_t begin = form == "text" ? 0 : text(line, form).size();
  Document document = encode(joined, {{begin, joined.size()}});
  append_end(document);
  return {std::move(document)};
}

LineParser::Json LineParser::tools(const Json& line) const {
  const Json* const tools = find(line, "tools");
  if (tools == nullptr) return nullptr;
  if (!tools->is_string()) return *tools;
  // As datasets keep it whose columns have one type each.
  const auto& text = tools->get_ref<const std::string&>();
  return text.empty() ? Json() : parse_strict_json<Json>(text, fmt::format("'{}'", name("tools")));
}

std::vector<Document> LineParser::parse_messages(Json messages, const Json& line) const {
  if (find(line, "system") != nullptr && messages.is_array() && !text(line, "system").empty()) {
    messages.insert(messages.begin(), Json{{"role", "system"}, {"content", text(line, "system")}});
  }
  const ChatOptions options{.default_system = context_.default_system_prompt, .add_generation_prompt = false};
  const Json all_tools = tools(line);
  std::vector<Document> documents;
  for (const auto& [num_messages, first_trained] :
       conversation_samples(messages, section_.train_on, section_.history_thinking)) {
    Json sample = messages;
    if (num_messages < messages.size()) sample.erase(sample.begin() + std::ptrdiff_t(num_messages), sample.end());
    const RenderedChat chat = render_chat_turns(sample, all_tools, options);
    std::vector<Part> parts;
    for (const AssistantTurn& turn : chat.turns) {
      if (turn.message < first_trained) continue;
      parts.push_back({section_.train_on_thinking ? turn.begin : turn.answer_begin, turn.end});
    }
    documents.push_back(encode(chat.text, parts));
  }
  return documents;
}

Document LineParser::parse_token_ids(const Json& line) const {
  const int last = context_.vocab_size - 1;
  Document document{.tokens = whole_numbers(*find(line, "token_ids"), name("token_ids"), 0, last, {}), .labels = {}};
  if (const Json* const labels = find(line, "labels")) {
    document.labels = whole_numbers(*labels, name("labels"), 0, last, kNoLabel);
    M2_REQUIRE(document.labels.size() == document.tokens.size(), "'{}' has {} numbers, expected {} as '{}' has",
               name("labels"), document.labels.size(), document.tokens.size(), name("token_ids"));
  } else {
    document.labels = document.tokens;
  }
  if (!document.labels.empty()) document.labels[0] = kNoLabel;
  return document;
}

Document LineParser::encode(const std::string& text, const std::vector<Part>& parts) const {
  M2_REQUIRE(context_.tokenizer != nullptr,
             "the checkpoint has no tokenizer; give 'token_ids', or convert it with its tokenizer.json");
  std::vector<std::size_t> begins;
  Document document{.tokens = context_.tokenizer->encode(text, &begins), .labels = {}};
  document.labels.assign(document.tokens.size(), kNoLabel);
  std::size_t part = 0;
  for (std::size_t i = 0; i < document.tokens.size(); ++i) {
    const std::int32_t token = document.tokens[i];
    M2_REQUIRE(token < context_.vocab_size,
               "the tokenizer gives token {}, the model's vocabulary ends at {}: they do not belong together", token,
               context_.vocab_size - 1);
    const std::size_t end = begins[i] + context_.tokenizer->token_bytes(token).size();
    while (part < parts.size() && parts[part].end <= begins[i]) ++part;
    if (i > 0 && part < parts.size() && parts[part].begin < end && parts[part].begin < parts[part].end) {
      document.labels[i] = token;
    }
  }
  return document;
}

void LineParser::append_end(Document& document) const {
  const bool is_there = !document.tokens.empty() && document.tokens.back() == context_.end_token;
  if (!context_.end_token || is_there) return;
  document.labels.push_back(document.tokens.empty() ? kNoLabel : *context_.end_token);
  document.tokens.push_back(*context_.end_token);
}

}  // namespace m2
