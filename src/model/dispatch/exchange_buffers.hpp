// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/moe/permute.hpp"
#include "model/dispatch/expert_rows.hpp"
#include "parallel/expert_parallel.hpp"

namespace m2 {

/// What one exchange of tokens between the ranks of an expert group works in: C tokens of each of N ranks. Rows that
/// are sent: C min(K, N) at most. Rows that arrive: N C at most, in P = N C min(K, experts of this rank) slots at most.
template <class T>
struct ExchangeStage {
  View1D<int> plan_scratch, permute_scratch;
  View1D<int> sent_row_displacement_N1, sent_slot_displacement_N1;
  View1D<int> arrived_row_displacement_N1, arrived_slot_displacement_N1;
  View2D<int> sent_slot_P3, arrived_slot_P3;
  View1D<int> first_slot_S1;
  View2D<T> sent_SD, arrived_SD, answer_PD;
  ExpertRows<T> rows;

  ExchangeStage(const ModelConfig& config, const ExpertParallel& parallel, Workspace& workspace)
      : ExchangeStage(config, Sizes(config.architecture, parallel), workspace) {}

 private:
  struct Sizes {
    std::int64_t ranks, tokens, top_k, rank_experts, sent_rows, arrived_rows, slots, hidden;

    Sizes(const MiniMaxM2Config& config, const ExpertParallel& parallel)
        : ranks(parallel.group->size()),
          tokens(parallel.tokens_per_exchange),
          top_k(config.num_experts_per_tok),
          rank_experts(parallel.placement.most_experts(parallel.group->rank())),
          sent_rows(tokens * std::min(top_k, ranks)),
          arrived_rows(tokens * ranks),
          slots(parallel.max_slots(config.num_experts_per_tok)),
          hidden(config.hidden_size) {}
  };

  ExchangeStage(const ModelConfig& config, const Sizes& n, Workspace& workspace)
      : plan_scratch(workspace.take<int>(exchange_scratch_size(n.tokens, int(n.ranks)))),
        permute_scratch(workspace.take<int>(permute_scratch_size(n.slots, 1, int(n.rank_experts)))),
        sent_row_displacement_N1(workspace.take<int>(n.ranks + 1)),
        sent_slot_displacement_N1(workspace.take<int>(n.ranks + 1)),
        arrived_row_displacement_N1(workspace.take<int>(n.ranks + 1)),
        arrived_slot_displacement_N1(workspace.take<int>(n.ranks + 1)),
        sent_slot_P3(workspace.take<int>(n.tokens * n.top_k, 3)),
        arrived_slot_P3(workspace.take<int>(n.slots, 3)),
        first_slot_S1(workspace.take<int>(n.arrived_rows + 1)),
        sent_SD(workspace.take<T>(n.sent_rows, n.hidden)),
        arrived_SD(workspace.take<T>(n.arrived_rows, n.hidden)),
        answer_PD(workspace.take<T>(n.slots, n.hidden)),
        rows(config, n.slots, workspace) {}
};

/// What AllToAllDispatcher works in, for T tokens of this rank.
template <class T>
struct ExchangeBuffers {
  View2D<T> answer_QD;                   ///< T K rows, or T min(K, N) where answers are summed before they return
  std::vector<ExchangeStage<T>> stages;  ///< two where exchanges overlap

  ExchangeBuffers(const ModelConfig& config, const ExpertParallel& parallel, std::int64_t num_tokens,
                  Workspace& workspace)
      : answer_QD(workspace.take<T>(num_tokens * answers_of_a_token(config.architecture, parallel),
                                    config.architecture.hidden_size)) {
    for (int stage = 0; stage < (parallel.overlap ? 2 : 1); ++stage) stages.emplace_back(config, parallel, workspace);
  }

 private:
  static std::int64_t answers_of_a_token(const MiniMaxM2Config& config, const ExpertParallel& parallel) {
    const int top_k = config.num_experts_per_tok;
    return parallel.reduce_answers ? std::min(top_k, parallel.group->size()) : top_k;
  }
};

}  // namespace m2
