// SPDX-License-Identifier: Apache-2.0
#include "text/token_table.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "text/byte_alphabet.hpp"

namespace m2 {

TokenTable::TokenTable(const TokenizerSpec& spec, const std::string& source) {
  std::size_t name_bytes = 0;
  std::int32_t num_ids = 0;
  const auto count = [&](const std::string& name, std::int32_t id) {
    name_bytes += name.size();
    num_ids = std::max(num_ids, id + 1);
  };
  for (const auto& entry : spec.vocabulary) count(entry.token, entry.id);
  for (const auto& token : spec.added_tokens) count(token.content, token.id);
  names_.reserve(name_bytes);  // so that the keys of id_by_name_ stay where they are
  entries_.resize(num_ids);
  id_by_name_.reserve(spec.vocabulary.size() + spec.added_tokens.size());

  for (const auto& entry : spec.vocabulary) {
    M2_REQUIRE(!entry.token.empty(), "{}: model.vocab has the empty token (id {}); remove it", source, entry.id);
    add(entry.token, entry.id, source + ": model.vocab");
  }
  for (const auto& token : spec.added_tokens) {
    const std::optional<std::int32_t> known = find(token.content);
    M2_REQUIRE(!known || *known == token.id, "{}: added_tokens gives '{}' the id {}, but it already has {}", source,
               token.content, token.id, *known);
    if (!known) add(token.content, token.id, source + ": added_tokens");
    entries_[token.id].special = token.special;
  }
}

void TokenTable::add(const std::string& name, std::int32_t id, const std::string& where) {
  Entry& entry = entries_[id];
  M2_REQUIRE(entry.name_bytes == 0, "{} gives '{}' the id {}, which is that of '{}'", where, name, id,
             std::string_view(names_.data() + entry.name_begin, entry.name_bytes));
  const auto append = [](const std::string& text, std::vector<char>& to, std::uint32_t& begin, std::uint32_t& bytes) {
    begin = std::uint32_t(to.size());
    bytes = std::uint32_t(text.size());
    to.insert(to.end(), text.begin(), text.end());
  };
  append(name, names_, entry.name_begin, entry.name_bytes);
  append(symbols_to_bytes(name).value_or(name), texts_, entry.text_begin, entry.text_bytes);
  id_by_name_.emplace(std::string_view(names_.data() + entry.name_begin, entry.name_bytes), id);
}

std::optional<std::int32_t> TokenTable::find(std::string_view name) const {
  const auto found = id_by_name_.find(name);
  if (found == id_by_name_.end()) return std::nullopt;
  return found->second;
}

std::string_view TokenTable::bytes(std::int32_t id) const {
  const Entry& entry = entries_[id];
  return {texts_.data() + entry.text_begin, entry.text_bytes};
}

}  // namespace m2
