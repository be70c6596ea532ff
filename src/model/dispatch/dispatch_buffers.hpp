// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "config/minimax_m2_config.hpp"
#include "core/views.hpp"
#include "core/workspace.hpp"
#include "kernels/moe/permute.hpp"
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

/// Buffers of one mixture of experts for T tokens, where all experts are in this process: R = T K rows.
template <class T>
struct LocalDispatchBuffers {
  View1D<int> permute_scratch, token_R;
  View2D<int> row_TK;
  ExpertRows<T> rows;

  LocalDispatchBuffers(const MiniMaxM2Config& config, std::int64_t num_tokens, Workspace& workspace)
      : permute_scratch(workspace.take<int>(
            permute_scratch_size(num_tokens, config.num_experts_per_tok, config.num_local_experts))),
        token_R(workspace.take<int>(num_tokens * config.num_experts_per_tok)),
        row_TK(workspace.take<int>(num_tokens, config.num_experts_per_tok)),
        rows(config, num_tokens * config.num_experts_per_tok, config.num_local_experts, workspace) {}
};

/// Buffers of one mixture of experts for T tokens.
template <class T>
struct MoEActivations {
  Routing routing;
  std::optional<LocalDispatchBuffers<T>> local;  ///< one of the two
  std::optional<ExchangeBuffers<T>> exchange;

  MoEActivations(const MiniMaxM2Config& config, const ExpertParallel* parallel, std::int64_t num_tokens,
                 Workspace& workspace)
      : routing(config, num_tokens, workspace) {
    if (parallel) {
      exchange.emplace(config, *parallel, num_tokens, workspace);
    } else {
      local.emplace(config, num_tokens, workspace);
    }
  }
};

}  // namespace m2
