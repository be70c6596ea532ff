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

// What encode() changes; each call that runs has one of its own.
struct EncodeScratch {
  SplitPattern split_pattern;
  PieceEncoder::Cache cache{};
  std::vector<std::string_view> pieces{};
};

}  // namespace

struct Tokenizer::Parts {
  TokenTable table;
  AddedTokenFinder literal_tokens;     // searched for in the text as it is
  AddedTokenFinder normalized_tokens;  // then in what lies between them: the order of the `tokenizers` library
  PieceEncoder encoder;
  std::string pattern;
  SplitPattern::Unmatched unmatched;
  std::string pattern_place;  // for messages
  std::vector<std::unique_ptr<EncodeScratch>> idle{};
  std::mutex idle_mutex{};

  std::unique_ptr<EncodeScratch> take_scratch() {
    {
      const std::scoped_lock lock(idle_mutex);
      if (!idle.empty()) {
        auto scratch = std::move(idle.back());
        idle.pop_back();
        return scratch;
      }
    }
    return std::unique_ptr<EncodeScratch>(new EncodeScratch{SplitPattern(pattern, unmatched, pattern_place)});
  }

  void give_back(std::unique_ptr<EncodeScratch> scratch) {
    const std::scoped_lock lock(idle_mutex);
    idle.push_back(std::move(scratch));
  }
};

namespace {

// The tokens of one text.
struct Encoding {
  const char* text_begin;
  std::vector<std::int32_t> ids{};
  std::vector<std::size_t>* begins = nullptr;

  void add(std::int32_t id, const char* begin) {
    ids.push_back(id);
    if (begins != nullptr) begins->push_back(std::size_t(begin - text_begin));
  }
};

// Adds the tokens that `finder` finds; `encode_gap` adds those of the text between them.
template <class EncodeGap>
void encode_around(const AddedTokenFinder& finder, std::string_view text, Encoding& out, EncodeGap&& encode_gap) {
  std::size_t done = 0;
  while (const auto match = finder.find(text, done)) {
    encode_gap(text.substr(done, match->begin - done));
    out.add(match->id, text.data() + match->begin);
    done = match->end;
  }
  encode_gap(text.substr(done));
}

// Adds the tokens of a text without added tokens. Those of a piece stand for its bytes, one after the other.
void encode_plain(const PieceEncoder& encoder, const TokenTable& table, std::string_view text, EncodeScratch& scratch,
                  Encoding& out) {
  scratch.split_pattern.split(text, scratch.pieces);
  for (const std::string_view piece : scratch.pieces) {
    std::size_t token = out.ids.size();
    encoder.encode(piece, scratch.cache, out.ids);
    if (out.begins == nullptr) continue;
    auto begin = std::size_t(piece.data() - out.text_begin);
    for (; token < out.ids.size(); ++token) {
      out.begins->push_back(begin);
      begin += table.bytes(out.ids[token]).size();
    }
  }
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::from_json(std::string_view tokenizer_json, const std::string& source) {
  const TokenizerSpec spec = parse_tokenizer_spec(tokenizer_json, source);
  TokenTable table(spec, source);
  PieceEncoder encoder(spec, table, source);
  std::unique_ptr<Parts> parts(new Parts{.table = std::move(table),
                                         .literal_tokens = make_finder(spec, false),
                                         .normalized_tokens = make_finder(spec, true),
                                         .encoder = std::move(encoder),
                                         .pattern = spec.split_pattern,
                                         .unmatched = spec.unmatched,
                                         .pattern_place = source + ": pre_tokenizer.pretokenizers[0].pattern.Regex"});
  parts->give_back(parts->take_scratch());  // an invalid pattern is noticed here
  return Tokenizer(std::move(parts));
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, std::vector<std::size_t>* begins) const {
  if (const auto offset = find_invalid_utf8(text)) {
    raise("the text is not UTF-8: byte {} of {} (0x{:02x}) does not begin a code point; convert the text to UTF-8",
          *offset, text.size(), static_cast<unsigned char>(text[*offset]));
  }
  if (begins != nullptr) begins->clear();
  auto scratch = parts_->take_scratch();
  Encoding out{.text_begin = text.data(), .begins = begins};
  encode_around(parts_->literal_tokens, text, out, [&](std::string_view gap) {
    encode_around(parts_->normalized_tokens, gap, out,
                  [&](std::string_view plain) { encode_plain(parts_->encoder, parts_->table, plain, *scratch, out); });
  });
  parts_->give_back(std::move(scratch));
  return std::move(out.ids);
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
