// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/moe/permute.hpp"
#include "model/dispatch/expert_rows.hpp"
#include "parallel/expert_parallel.hpp"

namespace m2 {

/// Buffers of one exchange of tokens between the ranks of an expert group: C tokens of each of N ranks. Rows that are
/// sent: C min(K, N) at most. Rows that arrive: N C at most, in P = N C min(K, local experts) pairs at most.
template <class T>
struct ExchangeStage {
  View1D<int> plan_scratch, permute_scratch;
  View1D<int> first_row_N1, first_pair_N1;      ///< of what is sent
  View1D<int> arrived_row_N1, arrived_pair_N1;  ///< of what arrives
  View1D<int> token_S;
  View2D<int> pair_sent_P3, pair_P3, expert_P1, position_P1;
  View1D<int> row_P, pair_R, row_R, first_pair_S1;
  View1D<float> weight_P;
  View2D<T> sent_SD, arrived_SD, answer_PD;
  ExpertRows<T> rows;

  ExchangeStage(const MiniMaxM2Config& config, const ExpertParallel& parallel, Workspace& workspace)
      : ExchangeStage(config, Sizes(config, parallel), workspace) {}

 private:
  struct Sizes {
    std::int64_t ranks, tokens, top_k, local_experts, sent_rows, arrived_rows, pairs;

    Sizes(const MiniMaxM2Config& config, const ExpertParallel& parallel)
        : ranks(parallel.group->size()),
          tokens(parallel.tokens_per_exchange),
          top_k(config.num_experts_per_tok),
          local_experts(parallel.placement.most_experts(parallel.group->rank())),
          sent_rows(tokens * std::min(top_k, ranks)),
          arrived_rows(tokens * ranks),
          pairs(parallel.max_pairs(config.num_experts_per_tok)) {}
  };

  ExchangeStage(const MiniMaxM2Config& config, const Sizes& n, Workspace& workspace)
      : plan_scratch(workspace.take<int>(exchange_scratch_size(n.tokens, int(n.ranks)))),
        permute_scratch(workspace.take<int>(permute_scratch_size(n.pairs, 1, int(n.local_experts)))),
        first_row_N1(workspace.take<int>(n.ranks + 1)),
        first_pair_N1(workspace.take<int>(n.ranks + 1)),
        arrived_row_N1(workspace.take<int>(n.ranks + 1)),
        arrived_pair_N1(workspace.take<int>(n.ranks + 1)),
        token_S(workspace.take<int>(n.sent_rows)),
        pair_sent_P3(workspace.take<int>(n.tokens * n.top_k, 3)),
        pair_P3(workspace.take<int>(n.pairs, 3)),
        expert_P1(workspace.take<int>(n.pairs, 1)),
        position_P1(workspace.take<int>(n.pairs, 1)),
        row_P(workspace.take<int>(n.pairs)),
        pair_R(workspace.take<int>(n.pairs)),
        row_R(workspace.take<int>(n.pairs)),
        first_pair_S1(workspace.take<int>(n.arrived_rows + 1)),
        weight_P(workspace.take<float>(n.pairs)),
        sent_SD(workspace.take<T>(n.sent_rows, config.hidden_size)),
        arrived_SD(workspace.take<T>(n.arrived_rows, config.hidden_size)),
        answer_PD(workspace.take<T>(n.pairs, config.hidden_size)),
        rows(config, n.pairs, int(n.local_experts), workspace) {}
};

/// Buffers of one mixture of experts for T tokens of this rank, where experts are on several ranks.
template <class T>
struct ExchangeBuffers {
  View2D<int> pair_TK, row_TK;           ///< where the answers of each slot, or of each rank, lie in answer_QD
  View2D<T> answer_QD;                   ///< T K rows, or T min(K, N) where answers are summed before they return
  std::vector<ExchangeStage<T>> stages;  ///< two where exchanges overlap

  ExchangeBuffers(const MiniMaxM2Config& config, const ExpertParallel& parallel, std::int64_t num_tokens,
                  Workspace& workspace)
      : pair_TK(workspace.take<int>(num_tokens, config.num_experts_per_tok)),
        row_TK(workspace.take<int>(num_tokens, config.num_experts_per_tok)),
        answer_QD(workspace.take<T>(num_tokens * answers_of_a_token(config, parallel), config.hidden_size)) {
    for (int stage = 0; stage < (parallel.overlap ? 2 : 1); ++stage) stages.emplace_back(config, parallel, workspace);
  }

 private:
  static std::int64_t answers_of_a_token(const MiniMaxM2Config& config, const ExpertParallel& parallel) {
    const int top_k = config.num_experts_per_tok;
    return parallel.reduce_answers ? std::min(top_k, parallel.group->size()) : top_k;
  }
};

}  // namespace m2
