// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace m2 {

/// Byte pair encoding (Sennrich, Haddow, Birch 2016, arXiv:1508.07909): the bytes of a piece become tokens, and the
/// neighbours whose merge has the lowest rank, the leftmost of them first, become one token until no merge is left.
class BytePairMerges {
 public:
  /// `byte_ids[b]` is the token of the single byte b; `num_merges` how many will be added.
  BytePairMerges(const std::array<std::int32_t, 256>& byte_ids, std::size_t num_merges);

  /// Adds the merge of next rank: `left` and `right` become `merged`. One given twice keeps its later rank.
  void add(std::int32_t left, std::int32_t right, std::int32_t merged);

  /// Appends the ids of `piece`, in time n log n.
  void encode(std::string_view piece, std::vector<std::int32_t>& ids) const;

 private:
  struct Merge {
    std::uint32_t rank;
    std::int32_t merged;
  };
  // Ids are small and regular; the multiplication spreads them over all buckets.
  struct PairHash {
    std::size_t operator()(std::uint64_t pair) const { return (pair * 0x9E3779B97F4A7C15u) >> 17; }
  };

  Merge find(std::int32_t left, std::int32_t right) const;
  void encode_short(std::string_view piece, std::vector<std::int32_t>& ids) const;
  void encode_long(std::string_view piece, std::vector<std::int32_t>& ids) const;

  std::array<std::int32_t, 256> byte_ids_;
  std::unordered_map<std::uint64_t, Merge, PairHash> merges_;
  std::uint32_t next_rank_ = 0;
};

}  // namespace m2
