// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace m2 {

/// Longest added token; it bounds the work per byte of text.
inline constexpr std::size_t kMaxAddedTokenBytes = 1024;

/// Finds tokens that are recognised wherever they are written out in a text.
class AddedTokenFinder {
 public:
  struct Entry {
    std::string content;  // 1 to kMaxAddedTokenBytes bytes, no two alike
    std::int32_t id;
  };
  struct Match {
    std::size_t begin, end;
    std::int32_t id;
  };

  explicit AddedTokenFinder(std::vector<Entry> entries);

  /// The leftmost token at or after byte `from`, and among those beginning there the longest.
  std::optional<Match> find(std::string_view text, std::size_t from) const;

 private:
  std::optional<Match> longest_at(std::string_view text, std::size_t begin) const;

  std::vector<Entry> entries_;  // sorted by content, so that the entries with one prefix are neighbours
  std::array<bool, 256> begins_token_{};
};

}  // namespace m2
