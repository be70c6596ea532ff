// SPDX-License-Identifier: Apache-2.0
#include "text/byte_pair_merges.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <queue>
#include <tuple>

namespace m2 {
namespace {

constexpr std::uint32_t kNoMerge = std::numeric_limits<std::uint32_t>::max();
// Up to this length looking at every pair for each merge beats the bookkeeping of a queue.
constexpr std::size_t kShortPieceBytes = 48;

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return std::uint64_t(std::uint32_t(left)) << 32 | std::uint32_t(right);
}

}  // namespace

BytePairMerges::BytePairMerges(const std::array<std::int32_t, 256>& byte_ids, std::size_t num_merges)
    : byte_ids_(byte_ids) {
  merges_.reserve(num_merges);
}

void BytePairMerges::add(std::int32_t left, std::int32_t right, std::int32_t merged) {
  merges_.insert_or_assign(pair_key(left, right), Merge{next_rank_++, merged});
}

BytePairMerges::Merge BytePairMerges::find(std::int32_t left, std::int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? Merge{kNoMerge, 0} : found->second;
}

void BytePairMerges::encode(std::string_view piece, std::vector<std::int32_t>& ids) const {
  if (piece.size() <= kShortPieceBytes) {
    encode_short(piece, ids);
  } else {
    encode_long(piece, ids);
  }
}

void BytePairMerges::encode_short(std::string_view piece, std::vector<std::int32_t>& ids) const {
  std::array<std::int32_t, kShortPieceBytes> tokens;
  std::array<Merge, kShortPieceBytes> merges;  // merges[i] is that of tokens i and i + 1
  std::size_t size = piece.size();
  for (std::size_t i = 0; i < size; ++i) tokens[i] = byte_ids_[std::uint8_t(piece[i])];
  for (std::size_t i = 0; i + 1 < size; ++i) merges[i] = find(tokens[i], tokens[i + 1]);
  while (size > 1) {
    const auto pairs_end = merges.begin() + (size - 1);
    const auto best = std::ranges::min_element(merges.begin(), pairs_end, {}, &Merge::rank);
    if (best->rank == kNoMerge) break;
    const std::size_t at = best - merges.begin();
    tokens[at] = best->merged;
    std::copy(tokens.begin() + at + 2, tokens.begin() + size, tokens.begin() + at + 1);
    if (at + 2 < size) std::copy(best + 2, pairs_end, best + 1);
    --size;
    if (at > 0) merges[at - 1] = find(tokens[at - 1], tokens[at]);
    if (at + 1 < size) merges[at] = find(tokens[at], tokens[at + 1]);
  }
  ids.insert(ids.end(), tokens.begin(), tokens.begin() + size);
}

void BytePairMerges::encode_long(std::string_view piece, std::vector<std::int32_t>& ids) const {
  constexpr std::size_t kEnd = std::numeric_limits<std::size_t>::max();
  struct Node {
    std::int32_t token;
    bool alive = true;
    std::size_t previous, next;
  };
  struct Candidate {
    std::uint32_t rank;
    std::size_t at;
    bool operator>(const Candidate& other) const { return std::tie(rank, at) > std::tie(other.rank, other.at); }
  };
  std::vector<Node> nodes(piece.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    nodes[i] = {.token = byte_ids_[std::uint8_t(piece[i])], .previous = i - 1, .next = i + 1};
  }
  nodes.front().previous = kEnd;
  nodes.back().next = kEnd;

  const auto merge_at = [&](std::size_t at) {
    return nodes[at].next == kEnd ? Merge{kNoMerge, 0} : find(nodes[at].token, nodes[nodes[at].next].token);
  };
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
  const auto consider = [&](std::size_t at) {
    if (const Merge merge = merge_at(at); merge.rank != kNoMerge) candidates.push({merge.rank, at});
  };
  for (std::size_t i = 0; i < nodes.size(); ++i) consider(i);
  while (!candidates.empty()) {
    const Candidate candidate = candidates.top();
    candidates.pop();
    if (!nodes[candidate.at].alive) continue;
    const Merge merge = merge_at(candidate.at);
    if (merge.rank != candidate.rank) continue;  // stale: a neighbour has been merged since
    Node& left = nodes[candidate.at];
    Node& right = nodes[left.next];
    left.token = merge.merged;
    left.next = right.next;
    right.alive = false;
    if (left.next != kEnd) nodes[left.next].previous = candidate.at;
    consider(candidate.at);
    if (left.previous != kEnd) consider(left.previous);
  }
  for (std::size_t i = 0; i != kEnd; i = nodes[i].next) ids.push_back(nodes[i].token);
}

}  // namespace m2
