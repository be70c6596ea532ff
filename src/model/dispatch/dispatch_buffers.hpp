// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "kernels/moe/permute.hpp"
#include "model/dispatch/exchange.hpp"
#include "model/dispatch/exchange_buffers.hpp"
#include "model/dispatch/expert_rows.hpp"

namespace m2 {

/// What the router says of T tokens.
struct Routing {
  View2D<float> logits_TE;
  View2D<int> expert_TK;
  View2D<float> weight_TK;

  Routing(const MiniMaxM2Config& config, std::int64_t num_tokens, Workspace& workspace)
      : logits_TE(workspace.take<float>(num_tokens, config.num_local_experts)),
        expert_TK(workspace.take<int>(num_tokens, config.num_experts_per_tok)),
        weight_TK(workspace.take<float>(num_tokens, config.num_experts_per_tok)) {}
};

/// The dispatch plan where all experts are in this process: R = T K rows, sorted by expert.
struct LocalPlan {
  View1D<int> offset_E1;  ///< where each expert's rows begin; the last entry is their number
  View2D<int> row_TK;     ///< the row of each token-expert slot
  View1D<int> token_R;    ///< the token of each row

  LocalPlan(std::int64_t num_tokens, int top_k, int num_experts, Workspace& workspace)
      : offset_E1(workspace.take<int>(num_experts + 1)),
        row_TK(workspace.take<int>(num_tokens, top_k)),
        token_R(workspace.take<int>(num_tokens * top_k)) {}
};

/// What LocalDispatcher works in, for T tokens.
template <class T>
struct LocalDispatchBuffers {
  View1D<int> permute_scratch;
  ExpertRows<T> rows;
  std::optional<LocalPlan> plan{};  ///< where the plan lies, if not in MoEActivations::plans: a backward pass needs it

  LocalDispatchBuffers(const ModelConfig& config, std::int64_t num_tokens, Workspace& workspace)
      : permute_scratch(workspace.take<int>(permute_scratch_size(num_tokens, config.architecture.num_experts_per_tok,
                                                                 config.architecture.num_local_experts))),
        rows(config, num_tokens * config.architecture.num_experts_per_tok, workspace) {}
};

/// Buffers of one mixture of experts for T tokens. Every dispatch takes its plan from `plans`, where it stays until the
/// caller's frame ends; everything else is used again by the next layer.
template <class T>
struct MoEActivations {
  Routing routing;
  View1D<float> router_lora_hidden;              ///< of the router's adapter
  std::optional<LocalDispatchBuffers<T>> local;  ///< one of the two
  std::optional<ExchangeBuffers<T>> exchange;
  Workspace* plans;

  MoEActivations(const ModelConfig& config, const ExpertParallel* parallel, std::int64_t num_tokens,
                 Workspace& workspace)
      : routing(config.architecture, num_tokens, workspace),
        router_lora_hidden(workspace.take<float>(num_tokens * config.lora_rank)),
        plans(&workspace) {
    if (parallel) {
      exchange.emplace(config, *parallel, num_tokens, workspace);
    } else {
      local.emplace(config, num_tokens, workspace);
    }
  }
};

/// Takes what one dispatch takes from MoEActivations::plans at most, for a workspace that only counts. `num_tokens`: of
/// the rank that has most.
inline void take_largest_plan(const MiniMaxM2Config& config, const ExpertParallel* parallel, std::int64_t num_tokens,
                              Workspace& counter) {
  if (parallel) {
    take_largest_exchanges(config, *parallel, num_tokens, counter);
  } else {
    LocalPlan(num_tokens, config.num_experts_per_tok, config.num_local_experts, counter);
  }
}

}  // namespace m2
