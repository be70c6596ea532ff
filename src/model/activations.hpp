// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "config/minimax_m2_config.hpp"
#include "core/views.hpp"
#include "core/workspace.hpp"
#include "model/dispatch/dispatch_buffers.hpp"

namespace m2 {

/// Buffers of one attention layer for T tokens.
template <class T>
struct AttentionActivations {
  View2D<T> q_TN, k_TN, v_TN;  ///< heads x head size in a row
  View2D<T> attended_TN;

  AttentionActivations(const MiniMaxM2Config& config, std::int64_t num_tokens, Workspace& workspace)
      : q_TN(workspace.take<T>(num_tokens, std::int64_t(config.num_attention_heads) * config.head_dim)),
        k_TN(workspace.take<T>(num_tokens, std::int64_t(config.num_key_value_heads) * config.head_dim)),
        v_TN(workspace.take<T>(num_tokens, std::int64_t(config.num_key_value_heads) * config.head_dim)),
        attended_TN(workspace.take<T>(num_tokens, std::int64_t(config.num_attention_heads) * config.head_dim)) {}
};

/// Every buffer of a pass through the blocks. Attention and experts use the same memory in turn.
template <class T>
struct Activations {
  View2D<T> hidden_TD;  ///< the residual stream
  View2D<T> normed_TD;  ///< what a branch reads
  View2D<T> branch_TD;  ///< what it adds to the stream
  View1D<std::byte> gemm_workspace;
  AttentionActivations<T> attention;
  MoEActivations<T> moe;

  Activations(const MiniMaxM2Config& config, const ExpertParallel* parallel, std::int64_t num_tokens,
              std::int64_t gemm_workspace_bytes, Workspace& workspace)
      : hidden_TD(workspace.take<T>(num_tokens, config.hidden_size)),
        normed_TD(workspace.take<T>(num_tokens, config.hidden_size)),
        branch_TD(workspace.take<T>(num_tokens, config.hidden_size)),
        gemm_workspace(workspace.take<std::byte>(gemm_workspace_bytes)),
        attention(in_frame<AttentionActivations<T>>(workspace, config, num_tokens)),
        moe(in_frame<MoEActivations<T>>(workspace, config, parallel, num_tokens)) {}

 private:
  template <class Part, class... Args>
  static Part in_frame(Workspace& workspace, const Args&... args) {
    const Workspace::Frame frame(workspace);
    return Part(args..., workspace);
  }
};

}  // namespace m2
