// SPDX-License-Identifier: Apache-2.0
#include "parallel/expert_parallel.hpp"

#include <algorithm>
#include <string>

#include "core/host_copy.hpp"

namespace m2 {
namespace {

// Exchanges have a cost of their own: below this, larger ones cost nothing but a little memory.
constexpr std::int64_t kLeastTokens = 16;

}  // namespace

void ExchangeTraffic::add(const ExchangeTraffic& other) {
  token_layers += other.token_layers;
  rows_sent += other.rows_sent;
  row_bytes += other.row_bytes;
  slot_bytes += other.slot_bytes;
  answers_sent += other.answers_sent;
  answer_bytes += other.answer_bytes;
}

std::int64_t ExpertParallel::max_slots(int top_k) const {
  return tokens_per_exchange * group->size() * std::min(top_k, placement.most_experts(group->rank()));
}

ExpertMap ExpertParallel::map(const ExecSpace& exec, int layer) const {
  const std::vector<std::vector<int>>& ranks_of = placement.ranks_of(layer);
  std::vector<int> first{0}, rank, local, num_local(placement.num_ranks(), 0);
  for (const std::vector<int>& replicas : ranks_of) {
    for (const int r : replicas) {
      rank.push_back(r);
      local.push_back(num_local[r]++);  // experts come in ascending order, as in experts_of()
    }
    first.push_back(int(rank.size()));
  }
  return {to_device(exec, first, "m2::expert_map::first_E1"), to_device(exec, rank, "m2::expert_map::rank_P"),
          to_device(exec, local, "m2::expert_map::local_expert")};
}

std::int64_t default_tokens_per_exchange(std::int64_t max_tokens, int num_ranks, bool overlap) {
  const std::int64_t parts = std::int64_t(num_ranks) * (overlap ? 2 : 1);
  return std::clamp((max_tokens + parts - 1) / parts, std::min(kLeastTokens, max_tokens), max_tokens);
}

}  // namespace m2
