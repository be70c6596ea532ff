// SPDX-License-Identifier: Apache-2.0
#include "text/added_tokens.hpp"

#include <algorithm>

namespace m2 {

AddedTokenFinder::AddedTokenFinder(std::vector<Entry> entries) : entries_(std::move(entries)) {
  std::ranges::sort(entries_, {}, &Entry::content);
  for (const Entry& entry : entries_) begins_token_[std::uint8_t(entry.content[0])] = true;
}

std::optional<AddedTokenFinder::Match> AddedTokenFinder::find(std::string_view text, std::size_t from) const {
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    if (!begins_token_[std::uint8_t(text[begin])]) continue;
    if (const auto match = longest_at(text, begin)) return match;
  }
  return std::nullopt;
}

std::optional<AddedTokenFinder::Match> AddedTokenFinder::longest_at(std::string_view text, std::size_t begin) const {
  std::optional<Match> longest;
  // The entries that agree with the first `depth` bytes of the text; the shortest of them comes first.
  auto first = entries_.begin(), last = entries_.end();
  for (std::size_t depth = 0; first != last; ++depth) {
    if (first->content.size() == depth) {
      longest = Match{begin, begin + depth, first->id};
      ++first;
    }
    if (begin + depth == text.size()) break;
    const auto byte_at_depth = [depth](const Entry& entry) { return std::uint8_t(entry.content[depth]); };
    const auto range = std::ranges::equal_range(first, last, std::uint8_t(text[begin + depth]), {}, byte_at_depth);
    first = range.begin();
    last = range.end();
  }
  return longest;
}

}  // namespace m2
