// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/tokenizer_spec.hpp"

namespace m2 {

/// All tokens of a tokenizer by id and by name, vocabulary and added tokens alike.
class TokenTable {
 public:
  /// Throws Error naming `source` if two tokens share an id, or an added token contradicts the vocabulary.
  TokenTable(const TokenizerSpec& spec, const std::string& source);

  std::int32_t num_tokens() const { return std::int32_t(entries_.size()); }
  bool has_token(std::int32_t id) const { return id >= 0 && id < num_tokens() && entries_[id].name_bytes > 0; }
  bool is_special(std::int32_t id) const { return has_token(id) && entries_[id].special; }

  /// Id of the token written `name` in tokenizer.json.
  std::optional<std::int32_t> find(std::string_view name) const;

  /// What the token stands for in a text; `id` must have a token. A name with a character outside the byte alphabet
  /// stands for itself, as in the ByteLevel decoder of the `tokenizers` library. Valid as long as the table.
  std::string_view bytes(std::int32_t id) const;

 private:
  struct Entry {
    std::uint32_t name_begin = 0, name_bytes = 0;  // in names_; no bytes: there is no such token
    std::uint32_t text_begin = 0, text_bytes = 0;  // in texts_
    bool special = false;
  };

  void add(const std::string& name, std::int32_t id, const std::string& where);

  std::vector<Entry> entries_;  // by id
  // Names and texts one after the other: 400,000 strings of their own would cost five times their content.
  std::vector<char> names_, texts_;
  std::unordered_map<std::string_view, std::int32_t> id_by_name_;  // keys lie in names_
};

}  // namespace m2
