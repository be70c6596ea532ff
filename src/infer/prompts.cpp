// SPDX-License-Identifier: Apache-2.0
#include "infer/prompts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "core/error.hpp"
#include "core/nearest.hpp"
#include "io/json_lines.hpp"
#include "text/chat_template.hpp"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 3> kPromptKeys{"prompt", "token_ids", "messages"};
constexpr std::array<std::string_view, 2> kTextKeys{"text", "token_ids"};

std::string join(std::span<const std::string_view> keys) {
  std::string list;
  for (const std::string_view key : keys) list += fmt::format("{}'{}'", list.empty() ? "" : ", ", key);
  return list;
}

// The one of `keys` that the line has. `companions` may stand beside it.
std::string content_key(const Json& line, const std::string& where, std::span<const std::string_view> keys,
                        std::span<const std::string_view> companions) {
  M2_REQUIRE(line.is_object(), "{}: found JSON of type {}, expected an object with one of {}", where, line.type_name(),
             join(keys));
  std::vector<std::string> known(keys.begin(), keys.end());
  known.insert(known.end(), companions.begin(), companions.end());
  std::string found;
  for (const auto& [key, value] : line.items()) {
    M2_REQUIRE(std::ranges::find(known, key) != known.end(), "{}: unknown key '{}'{}", where, key,
               did_you_mean(key, known));
    if (std::ranges::find(keys, key) == keys.end()) continue;
    M2_REQUIRE(found.empty(), "{}: found both '{}' and '{}', expected exactly one of {}", where, found, key,
               join(keys));
    found = key;
  }
  M2_REQUIRE(!found.empty(), "{}: expected one of {}", where, join(keys));
  return found;
}

Json line_id(const Json& line, const std::string& where, std::size_t index) {
  const auto id = line.find("id");
  if (id == line.end()) return index;
  M2_REQUIRE(id->is_string() || id->is_number(), "{}: 'id' is of type {}, expected text or a number", where,
             id->type_name());
  return *id;
}

std::string text_value(const Json& line, const std::string& key, const std::string& where) {
  const Json& value = line.at(key);
  M2_REQUIRE(value.is_string(), "{}: '{}' is of type {}, expected text", where, key, value.type_name());
  return value.get<std::string>();
}

std::vector<int> token_ids(const Json& ids, const std::string& where, int vocab_size) {
  M2_REQUIRE(ids.is_array(), "{}: 'token_ids' is of type {}, expected a list of whole numbers", where, ids.type_name());
  std::vector<int> tokens;
  for (const Json& id : ids) {
    const bool in_range = id.is_number_integer() && (id.is_number_unsigned() || id.get<std::int64_t>() >= 0) &&
                          id.get<std::uint64_t>() < std::uint64_t(vocab_size);
    M2_REQUIRE(in_range, "{}: token_ids[{}] is {}, expected a whole number from 0 to {} (vocab_size - 1)", where,
               tokens.size(), id.dump(), vocab_size - 1);
    tokens.push_back(id.get<int>());
  }
  return tokens;
}

std::vector<int> encode(const std::string& text, const std::string& where, const PromptContext& context) {
  M2_REQUIRE(context.tokenizer != nullptr,
             "{}: the checkpoint has no tokenizer; give 'token_ids', or convert it with its tokenizer.json", where);
  const std::vector<int> tokens = context.tokenizer->encode(text);
  const auto beyond = std::ranges::find_if(tokens, [&](int id) { return id >= context.config.vocab_size; });
  M2_REQUIRE(beyond == tokens.end(),
             "{}: the tokenizer gives token {}, the model's vocabulary ends at {}: they do not belong together", where,
             beyond == tokens.end() ? 0 : *beyond, context.config.vocab_size - 1);
  return tokens;
}

std::string render(const Json& line, const std::string& where, const PromptContext& context) {
  const auto tools = line.find("tools");
  try {
    return render_chat(line.at("messages"), tools == line.end() ? Json() : *tools,
                       {.default_system = context.default_system_prompt});
  } catch (const Error& error) {
    raise("{}: {}", where, error.what());
  }
}

void require_room(const Prompt& prompt, const MiniMaxM2Config& config, int num_new) {
  M2_REQUIRE(std::ssize(prompt.tokens) + num_new <= config.max_position_embeddings,
             "{}: {} tokens{} are more than the model's {} positions (max_position_embeddings)", prompt.where,
             prompt.tokens.size(), num_new > 0 ? " and one to generate" : "", config.max_position_embeddings);
}

void require_prompt(const Prompt& prompt, const MiniMaxM2Config& config) {
  M2_REQUIRE(!prompt.tokens.empty(), "{}: the prompt is empty; expected at least one token to go on from",
             prompt.where);
  require_room(prompt, config, 1);
}

// Any line of a prompts or data file; `keys` are those one of which it must have.
Prompt read_line(const Json& line, const std::string& where, std::size_t index, std::span<const std::string_view> keys,
                 const PromptContext& context) {
  constexpr std::array<std::string_view, 2> kWithTools{"id", "tools"};
  const bool may_have_tools = line.is_object() && line.contains("messages");
  const std::string key = content_key(line, where, keys, std::span(kWithTools).first(may_have_tools ? 2 : 1));
  Prompt prompt{.id = line_id(line, where, index), .where = where, .text = {}, .tokens = {}};
  if (key == "token_ids") {
    prompt.tokens = token_ids(line.at(key), where, context.config.vocab_size);
  } else {
    prompt.text = key == "messages" ? render(line, where, context) : text_value(line, key, where);
    prompt.tokens = encode(prompt.text, where, context);
  }
  return prompt;
}

std::vector<Prompt> read_file(const std::string& file, std::span<const std::string_view> keys,
                              const PromptContext& context) {
  JsonLinesReader reader(file);
  std::vector<Prompt> prompts;
  while (reader.next()) {
    // Parsed again: the chat template shows tools in the order of their keys.
    prompts.push_back(read_line(Json::parse(reader.line()), reader.where(), prompts.size(), keys, context));
  }
  M2_REQUIRE(!prompts.empty(), "{}: the file has no lines; expected JSON Lines with one of {}", file, join(keys));
  return prompts;
}

}  // namespace

std::vector<Prompt> read_prompts(const PromptsSection& section, const PromptContext& context) {
  std::vector<Prompt> prompts;
  if (section.text) {
    prompts.push_back({.id = 0, .where = "prompts.text", .text = *section.text, .tokens = {}});
    prompts[0].tokens = encode(*section.text, "prompts.text", context);
  } else {
    prompts = read_file(section.file.value(), kPromptKeys, context);
  }
  for (const Prompt& prompt : prompts) require_prompt(prompt, context.config);
  return prompts;
}

std::vector<Prompt> read_texts(const std::string& file, const PromptContext& context) {
  std::vector<Prompt> texts = read_file(file, kTextKeys, context);
  for (const Prompt& text : texts) require_room(text, context.config, 0);
  return texts;
}

}  // namespace m2
