// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "config/minimax_m2_config.hpp"
#include "core/workspace.hpp"
#include "parallel/expert_parallel.hpp"

namespace m2 {

/// How much goes to each rank, or comes from it.
using Counts = std::vector<std::int64_t>;

inline std::int64_t sum(const Counts& counts) { return std::accumulate(counts.begin(), counts.end(), std::int64_t{0}); }

/// The P token-expert slots that arrive in one exchange, in the order of source, token, k: to which of the rows sorted
/// by expert each belongs, and back. Every slot has one such row, so R = P.
struct ArrivedSlots {
  View2D<int> expert_P1;    ///< its number among the experts of this rank
  View1D<int> row_P;        ///< the token row that arrived for it
  View1D<float> weight_P;   ///< the router's
  View1D<int> offset_L1;    ///< where each expert's rows begin; the last entry is R
  View2D<int> position_P1;  ///< the slot's row
  View1D<int> slot_R;       ///< the slot of each row
  View1D<int> row_R;        ///< row_P of that slot

  ArrivedSlots(std::int64_t num_slots, int num_rank_experts, Workspace& workspace)
      : expert_P1(workspace.take<int>(num_slots, 1)),
        row_P(workspace.take<int>(num_slots)),
        weight_P(workspace.take<float>(num_slots)),
        offset_L1(workspace.take<int>(num_rank_experts + 1)),
        position_P1(workspace.take<int>(num_slots, 1)),
        slot_R(workspace.take<int>(num_slots)),
        row_R(workspace.take<int>(num_slots)) {}
};

/// Of this rank's tokens in one exchange: what it sends.
struct SentTokens {
  std::int64_t first_token, num_tokens;
  View1D<int> token_S;  ///< of each row sent, in the order of sending: its token, counted from first_token

  SentTokens(std::int64_t first, std::int64_t count, int top_k, int num_ranks, Workspace& workspace)
      : first_token(first), num_tokens(count), token_S(workspace.take<int>(count * std::min(top_k, num_ranks))) {}
};

/// The plan of one exchange between the ranks of an expert group. Whatever is sent by it again finds the same places.
struct Exchange {
  SentTokens sent;
  Counts sent_rows, sent_slots;        ///< to each rank
  Counts arrived_rows, arrived_slots;  ///< from each rank
  ArrivedSlots arrived;
  std::int64_t first_answer;  ///< where the answers to what was sent begin among those of the pass
};

/// Where the answers to each slot of the pass's tokens lie.
struct AnswerPlaces {
  View2D<int> place_TK;  ///< of each slot, where answers return one by one
  View2D<int> row_TK;    ///< of the first slot of each token and rank, where a rank adds them up before; else -1

  AnswerPlaces(std::int64_t num_tokens, int top_k, Workspace& workspace)
      : place_TK(workspace.take<int>(num_tokens, top_k)), row_TK(workspace.take<int>(num_tokens, top_k)) {}
};

/// Takes what the plans of a pass take at most, for a workspace that only counts. `num_tokens`: of the rank that has
/// most.
inline void take_largest_exchanges(const MiniMaxM2Config& config, const ExpertParallel& parallel,
                                   std::int64_t num_tokens, Workspace& counter) {
  const int top_k = config.num_experts_per_tok, rank = parallel.group->rank();
  const AnswerPlaces places(num_tokens, top_k, counter);
  for (std::int64_t first = 0; first < std::max<std::int64_t>(num_tokens, 1); first += parallel.tokens_per_exchange) {
    const std::int64_t count = std::min(parallel.tokens_per_exchange, num_tokens - first);
    const SentTokens sent(first, count, top_k, parallel.group->size(), counter);
    const ArrivedSlots arrived(parallel.max_slots(top_k), parallel.placement.most_experts(rank), counter);
  }
}

}  // namespace m2
