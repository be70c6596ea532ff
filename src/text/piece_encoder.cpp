// SPDX-License-Identifier: Apache-2.0
#include "text/piece_encoder.hpp"

#include <array>

#include "core/error.hpp"
#include "text/byte_alphabet.hpp"

namespace m2 {
namespace {

// Bounds the cache to some 10 MB. Longer pieces are rare and not worth keeping.
constexpr std::size_t kMaxCachedPieces = 1 << 16;
constexpr std::size_t kMaxCachedPieceBytes = 64;

BytePairMerges make_merges(const TokenizerSpec& spec, const TokenTable& table, const std::string& source) {
  std::array<std::int32_t, 256> byte_ids;
  for (int byte = 0; byte < 256; ++byte) {
    const auto id = table.find(byte_to_symbol(std::uint8_t(byte)));
    M2_REQUIRE(id, "{}: model.vocab lacks '{}', the token of the byte 0x{:02x}; a byte-level BPE has all 256", source,
               byte_to_symbol(std::uint8_t(byte)), byte);
    byte_ids[byte] = *id;
  }
  BytePairMerges merges(byte_ids, spec.merges.size());
  for (std::size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto id_of = [&](const std::string& token) {
      const auto id = table.find(token);
      M2_REQUIRE(id, "{}: model.merges[{}] needs the token '{}', which model.vocab lacks", source, rank, token);
      return *id;
    };
    const auto& [left, right] = spec.merges[rank];
    merges.add(id_of(left), id_of(right), id_of(left + right));
  }
  return merges;
}

}  // namespace

PieceEncoder::PieceEncoder(const TokenizerSpec& spec, const TokenTable& table, const std::string& source)
    : merges_(make_merges(spec, table, source)) {
  if (!spec.ignore_merges) return;
  for (const auto& [token, id] : spec.vocabulary) {
    if (auto bytes = symbols_to_bytes(token)) whole_tokens_.emplace(std::move(*bytes), id);
  }
}

void PieceEncoder::encode(std::string_view piece, Cache& cache, std::vector<std::int32_t>& ids) const {
  if (piece.size() > kMaxCachedPieceBytes) return encode_uncached(piece, ids);
  if (const auto found = cache.pieces_.find(piece); found != cache.pieces_.end()) {
    const auto begin = cache.ids_.begin() + found->second.begin;
    ids.insert(ids.end(), begin, begin + found->second.count);
    return;
  }
  if (cache.pieces_.size() == kMaxCachedPieces) {
    cache.pieces_.clear();
    cache.ids_.clear();
  }
  const auto begin = std::uint32_t(cache.ids_.size());
  encode_uncached(piece, cache.ids_);
  cache.pieces_.emplace(piece, Cache::Range{begin, std::uint32_t(cache.ids_.size()) - begin});
  ids.insert(ids.end(), cache.ids_.begin() + begin, cache.ids_.end());
}

void PieceEncoder::encode_uncached(std::string_view piece, std::vector<std::int32_t>& ids) const {
  if (const auto whole = whole_tokens_.find(piece); whole != whole_tokens_.end()) {
    ids.push_back(whole->second);
  } else {
    merges_.encode(piece, ids);
  }
}

}  // namespace m2
