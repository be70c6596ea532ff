// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer_spec.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "text/added_tokens.hpp"

namespace m2 {
namespace {

constexpr std::size_t kMaxQuotedBytes = 80;

std::string describe(const nlohmann::json& value) {
  if (value.is_object()) return fmt::format("an object of {} keys", value.size());
  if (value.is_array()) return fmt::format("an array of {} elements", value.size());
  const std::string text = value.dump();
  return text.size() <= kMaxQuotedBytes ? text : fmt::format("a string of {} bytes", text.size() - 2);
}

// A value of the document with its place, so that each message can name it. A missing key is a null value.
class Place {
 public:
  Place(const nlohmann::json& value, std::string path, const std::string& source)
      : value_(&value), path_(std::move(path)), source_(&source) {}

  const nlohmann::json& value() const { return *value_; }
  std::string name() const { return fmt::format("{}: {}", *source_, path_); }
  bool is_null() const { return value_->is_null(); }

  [[noreturn]] void refuse(std::string_view supported) const {
    raise("{} is {}; supported is {}", name(), describe(*value_), supported);
  }

  Place operator[](const char* key) const {
    static const nlohmann::json kNull;
    if (!value_->is_object()) refuse("an object");
    const auto found = value_->find(key);
    return {found == value_->end() ? kNull : *found, path_.empty() ? key : path_ + "." + key, *source_};
  }
  Place operator[](std::size_t index) const {
    return {(*value_)[index], fmt::format("{}[{}]", path_, index), *source_};
  }

  const nlohmann::json::array_t& array() const {
    if (!value_->is_array()) refuse("an array");
    return value_->get_ref<const nlohmann::json::array_t&>();
  }
  const std::string& string() const {
    if (!value_->is_string()) refuse("a string");
    return value_->get_ref<const std::string&>();
  }
  // A missing flag is false, as in files written by older versions.
  bool flag() const {
    if (!is_null() && !value_->is_boolean()) refuse("true or false");
    return !is_null() && value_->get<bool>();
  }
  std::int32_t token_id() const {
    const bool in_range = value_->is_number_unsigned() && value_->get<std::uint64_t>() <= std::uint64_t{kMaxTokenId};
    if (!in_range) refuse(fmt::format("an integer from 0 to {}", kMaxTokenId));
    return value_->get<std::int32_t>();
  }
  void require_type(std::string_view type) const {
    const Place found = (*this)["type"];
    if (!found.value().is_string() || found.string() != type) found.refuse(fmt::format("\"{}\"", type));
  }
  void require_false() const {
    if (flag()) refuse("false");
  }
  void require_null() const {
    if (!is_null()) refuse("null");
  }

 private:
  const nlohmann::json* value_;
  std::string path_;
  const std::string* source_;
};

void read_vocabulary(const Place& vocab, TokenizerSpec& spec) {
  if (!vocab.value().is_object()) vocab.refuse("an object of token: id");
  spec.vocabulary.reserve(vocab.value().size());
  for (const auto& [token, id] : vocab.value().items()) {
    // The place of each entry is put together only where it is needed: there are 200,000.
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > std::uint64_t{kMaxTokenId})
      vocab[token.c_str()].token_id();
    spec.vocabulary.push_back({token, id.get<std::int32_t>()});
  }
}

void read_merges(const Place& merges, TokenizerSpec& spec) {
  constexpr std::string_view kSupported = "\"left right\" or [\"left\", \"right\"]";
  const nlohmann::json::array_t& rules = merges.array();
  spec.merges.reserve(rules.size());
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const nlohmann::json& rule = rules[i];
    if (rule.is_array() && rule.size() == 2 && rule[0].is_string() && rule[1].is_string()) {
      spec.merges.push_back({rule[0].get<std::string>(), rule[1].get<std::string>()});
    } else if (rule.is_string()) {
      const auto& text = rule.get_ref<const std::string&>();
      const std::size_t space = text.find(' ');
      if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) merges[i].refuse(kSupported);
      spec.merges.push_back({text.substr(0, space), text.substr(space + 1)});
    } else {
      merges[i].refuse(kSupported);
    }
  }
}

void read_model(const Place& model, TokenizerSpec& spec) {
  model.require_type("BPE");
  const Place dropout = model["dropout"];
  if (!dropout.is_null() && dropout.value() != 0) dropout.refuse("null or 0");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const Place affix = model[key];
    if (!affix.is_null() && affix.value() != "") affix.refuse("null or \"\"");
  }
  // unk_token and fuse_unk are not read: all 256 bytes must have a token, so nothing is unknown.
  model["byte_fallback"].require_false();
  spec.ignore_merges = model["ignore_merges"].flag();
  read_vocabulary(model["vocab"], spec);
  read_merges(model["merges"], spec);
}

void read_pre_tokenizer(const Place& pre_tokenizer, TokenizerSpec& spec) {
  pre_tokenizer.require_type("Sequence");
  const Place steps = pre_tokenizer["pretokenizers"];
  if (steps.array().size() != 2) steps.refuse("[Split, ByteLevel]");
  const Place split = steps[std::size_t{0}], byte_level = steps[std::size_t{1}];

  split.require_type("Split");
  spec.split_pattern = split["pattern"]["Regex"].string();
  const std::string behavior = split["behavior"].string();
  const bool invert = split["invert"].flag();
  if (behavior != "Isolated" && !(behavior == "Removed" && invert)) {
    split["behavior"].refuse("\"Isolated\", or \"Removed\" with invert true");
  }
  spec.unmatched = behavior == "Removed" ? SplitPattern::Unmatched::drop : SplitPattern::Unmatched::keep;

  byte_level.require_type("ByteLevel");
  byte_level["add_prefix_space"].require_false();
  const Place use_regex = byte_level["use_regex"];  // missing means true
  if (use_regex.is_null() || use_regex.flag()) use_regex.refuse("false");
}

void read_added_tokens(const Place& added_tokens, TokenizerSpec& spec) {
  if (added_tokens.is_null()) return;
  const std::size_t count = added_tokens.array().size();
  for (std::size_t i = 0; i < count; ++i) {
    const Place token = added_tokens[i];
    for (const char* flag : {"lstrip", "rstrip", "single_word"}) token[flag].require_false();
    const std::string content = token["content"].string();
    if (content.empty() || content.size() > kMaxAddedTokenBytes) {
      token["content"].refuse(fmt::format("a string of 1 to {} bytes", kMaxAddedTokenBytes));
    }
    spec.added_tokens.push_back({content, token["id"].token_id(), token["special"].flag(), token["normalized"].flag()});
  }
}

}  // namespace

TokenizerSpec parse_tokenizer_spec(std::string_view tokenizer_json, const std::string& source) {
  nlohmann::json document;
  try {
    document = nlohmann::json::parse(tokenizer_json);
  } catch (const nlohmann::json::exception& error) {
    raise("{}: not a tokenizer.json: {}", source, error.what());
  }
  const Place root(document, "", source);
  M2_REQUIRE(document.is_object(), "{}: not a tokenizer.json: the document is {}, not an object", source,
             describe(document));
  TokenizerSpec spec;
  root["normalizer"].require_null();
  read_pre_tokenizer(root["pre_tokenizer"], spec);
  if (!root["post_processor"].is_null()) root["post_processor"].require_type("ByteLevel");
  root["decoder"].require_type("ByteLevel");
  read_model(root["model"], spec);
  read_added_tokens(root["added_tokens"], spec);
  return spec;
}

}  // namespace m2
