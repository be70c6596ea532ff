// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/byte_pair_merges.hpp"
#include "text/token_table.hpp"
#include "text/tokenizer_spec.hpp"

namespace m2 {

/// From a piece of text to token ids: byte pair encoding behind a bounded cache, because most pieces of a text are
/// words seen before. Several threads may encode at once, each with a cache of its own.
class PieceEncoder {
 public:
  class Cache;

  /// Throws Error naming `source` if a byte has no token or a merge names a token that does not exist.
  PieceEncoder(const TokenizerSpec& spec, const TokenTable& table, const std::string& source);

  /// Appends the ids of `piece`. `cache` has been used with this encoder only.
  void encode(std::string_view piece, Cache& cache, std::vector<std::int32_t>& ids) const;

 private:
  struct StringHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };

  void encode_uncached(std::string_view piece, std::vector<std::int32_t>& ids) const;

  BytePairMerges merges_;
  // Pieces that are one token as a whole and skip the merges; filled only where the file says ignore_merges.
  std::unordered_map<std::string, std::int32_t, StringHash, std::equal_to<>> whole_tokens_;
};

class PieceEncoder::Cache {
  friend class PieceEncoder;

  struct Range {
    std::uint32_t begin, count;  // in ids_
  };
  std::unordered_map<std::string, Range, StringHash, std::equal_to<>> pieces_;
  std::vector<std::int32_t> ids_;
};

}  // namespace m2
