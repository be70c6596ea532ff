// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer.hpp"

#include <mutex>

#include "core/error.hpp"
#include "text/added_tokens.hpp"
#include "text/piece_encoder.hpp"
#include "text/split_pattern.hpp"
#include "text/token_table.hpp"
#include "text/tokenizer_spec.hpp"
#include "text/utf8.hpp"

namespace m2 {
namespace {

AddedTokenFinder make_finder(const TokenizerSpec& spec, bool normalized) {
  std::vector<AddedTokenFinder::Entry> entries;
  for (const TokenizerSpec::AddedToken& token : spec.added_tokens) {
    if (token.normalized == normalized) entries.push_back({token.content, token.id});
  }
  return AddedTokenFinder(std::move(entries));
}

// Appends the ids of the tokens that `finder` finds; `encode_gap` appends those of the text between them.
template <class EncodeGap>
void encode_around(const AddedTokenFinder& finder, std::string_view text, std::vector<std::int32_t>& ids,
                   EncodeGap&& encode_gap) {
  std::size_t done = 0;
  while (const auto match = finder.find(text, done)) {
    encode_gap(text.substr(done, match->begin - done));
    ids.push_back(match->id);
    done = match->end;
  }
  encode_gap(text.substr(done));
}

}  // namespace

struct Tokenizer::Parts {
  TokenTable table;
  AddedTokenFinder literal_tokens;     // searched for in the text as it is
  AddedTokenFinder normalized_tokens;  // then in what lies between them: the order of the `tokenizers` library
  SplitPattern split_pattern;
  PieceEncoder encoder;
  std::vector<std::string_view> pieces{};  // scratch of encode()
  std::mutex encode_mutex{};               // split_pattern, encoder and pieces change while encoding

  void encode_plain(std::string_view text, std::vector<std::int32_t>& ids) {
    split_pattern.split(text, pieces);
    for (const std::string_view piece : pieces) encoder.encode(piece, ids);
  }
};

Tokenizer::Tokenizer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::from_json(std::string_view tokenizer_json, const std::string& source) {
  const TokenizerSpec spec = parse_tokenizer_spec(tokenizer_json, source);
  TokenTable table(spec, source);
  PieceEncoder encoder(spec, table, source);
  SplitPattern pattern(spec.split_pattern, spec.unmatched, source + ": pre_tokenizer.pretokenizers[0].pattern.Regex");
  return Tokenizer(std::unique_ptr<Parts>(new Parts{.table = std::move(table),
                                                    .literal_tokens = make_finder(spec, false),
                                                    .normalized_tokens = make_finder(spec, true),
                                                    .split_pattern = std::move(pattern),
                                                    .encoder = std::move(encoder)}));
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  if (const auto offset = find_invalid_utf8(text)) {
    raise("the text is not UTF-8: byte {} of {} (0x{:02x}) does not begin a code point; convert the text to UTF-8",
          *offset, text.size(), static_cast<unsigned char>(text[*offset]));
  }
  const std::scoped_lock lock(parts_->encode_mutex);
  std::vector<std::int32_t> ids;
  encode_around(parts_->literal_tokens, text, ids, [&](std::string_view gap) {
    encode_around(parts_->normalized_tokens, gap, ids,
                  [&](std::string_view plain) { parts_->encode_plain(plain, ids); });
  });
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special) const {
  std::string bytes;
  for (const std::int32_t id : ids) {
    const std::string_view piece = token_bytes(id);
    if (!skip_special || !is_special(id)) bytes += piece;
  }
  std::string text;
  text.reserve(bytes.size());
  const std::size_t used_bytes = append_whole_code_points(bytes, text);
  if (used_bytes < bytes.size()) text += kReplacementCharacter;
  return text;
}

std::string_view Tokenizer::token_bytes(std::int32_t id) const {
  M2_REQUIRE(has_token(id), "token id {} has no token: the tokenizer has ids from 0 to {}{}", id, num_tokens() - 1,
             id >= 0 && id < num_tokens() ? " with gaps" : "");
  return parts_->table.bytes(id);
}

std::optional<std::int32_t> Tokenizer::find(std::string_view token) const { return parts_->table.find(token); }
std::int32_t Tokenizer::num_tokens() const { return parts_->table.num_tokens(); }
bool Tokenizer::has_token(std::int32_t id) const { return parts_->table.has_token(id); }
bool Tokenizer::is_special(std::int32_t id) const { return parts_->table.is_special(id); }

}  // namespace m2
