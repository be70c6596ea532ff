// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "config/minimax_m2_config.hpp"
#include "core/views.hpp"
#include "core/workspace.hpp"
#include "kernels/permute.hpp"

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

/// Buffers of one mixture of experts for T tokens; each goes to K experts, which makes R = T K routed rows.
template <class T>
struct MoEActivations {
  View2D<float> logits_TE;
  View2D<int> expert_TK;
  View2D<float> weight_TK;
  View1D<int> permute_scratch, offset_E1, token_R;
  View2D<int> row_TK;
  View1D<float> weight_R;
  View2D<T> x_RD, gate_up_R2F, activated_RF, y_RD;

  MoEActivations(const MiniMaxM2Config& config, std::int64_t num_tokens, Workspace& workspace)
      : logits_TE(workspace.take<float>(num_tokens, config.num_local_experts)),
        expert_TK(workspace.take<int>(num_tokens, config.num_experts_per_tok)),
        weight_TK(workspace.take<float>(num_tokens, config.num_experts_per_tok)),
        permute_scratch(workspace.take<int>(
            permute_scratch_size(num_tokens, config.num_experts_per_tok, config.num_local_experts))),
        offset_E1(workspace.take<int>(config.num_local_experts + 1)),
        token_R(workspace.take<int>(num_tokens * config.num_experts_per_tok)),
        row_TK(workspace.take<int>(num_tokens, config.num_experts_per_tok)),
        weight_R(workspace.take<float>(num_tokens * config.num_experts_per_tok)),
        x_RD(workspace.take<T>(num_tokens * config.num_experts_per_tok, config.hidden_size)),
        gate_up_R2F(
            workspace.take<T>(num_tokens * config.num_experts_per_tok, 2 * std::int64_t(config.intermediate_size))),
        activated_RF(workspace.take<T>(num_tokens * config.num_experts_per_tok, config.intermediate_size)),
        y_RD(workspace.take<T>(num_tokens * config.num_experts_per_tok, config.hidden_size)) {}
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

  Activations(const MiniMaxM2Config& config, std::int64_t num_tokens, std::int64_t gemm_workspace_bytes,
              Workspace& workspace)
      : hidden_TD(workspace.take<T>(num_tokens, config.hidden_size)),
        normed_TD(workspace.take<T>(num_tokens, config.hidden_size)),
        branch_TD(workspace.take<T>(num_tokens, config.hidden_size)),
        gemm_workspace(workspace.take<std::byte>(gemm_workspace_bytes)),
        attention(in_frame<AttentionActivations<T>>(config, num_tokens, workspace)),
        moe(in_frame<MoEActivations<T>>(config, num_tokens, workspace)) {}

 private:
  template <class Part>
  static Part in_frame(const MiniMaxM2Config& config, std::int64_t num_tokens, Workspace& workspace) {
    const Workspace::Frame frame(workspace);
    return Part(config, num_tokens, workspace);
  }
};

}  // namespace m2
