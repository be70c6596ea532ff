// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/views.hpp"
#include "core/workspace.hpp"
#include "kernels/gemm/gemm.hpp"
#include "model/dispatch/dispatch_buffers.hpp"

namespace m2 {

/// Buffers of one attention layer for T tokens.
template <class T>
struct AttentionActivations {
  View2D<T> q_TN, k_TN, v_TN;    ///< heads x head size in a row
  View2D<T> q_raw_TN, k_raw_TN;  ///< before their norms; in inference, which normalises in place, q_TN and k_TN
  View2D<T> attended_TN;
  View2D<float> log_sum_exp_TH{};  ///< of the scores, for the backward pass; empty in inference
  View1D<std::byte> gemm_workspace;
  View1D<T> lora_hidden;  ///< of the adapters

  AttentionActivations(const ModelConfig& config, std::int64_t num_tokens, Workspace& workspace)
      : AttentionActivations(config, Widths(config.architecture), num_tokens, workspace) {}

 private:
  struct Widths {
    int query, key;

    explicit Widths(const MiniMaxM2Config& config)
        : query(config.num_attention_heads * config.head_dim), key(config.num_key_value_heads * config.head_dim) {}
  };

  AttentionActivations(const ModelConfig& config, Widths widths, std::int64_t num_tokens, Workspace& workspace)
      : q_TN(workspace.take<T>(num_tokens, widths.query)),
        k_TN(workspace.take<T>(num_tokens, widths.key)),
        v_TN(workspace.take<T>(num_tokens, widths.key)),
        q_raw_TN(q_TN),
        k_raw_TN(k_TN),
        attended_TN(workspace.take<T>(num_tokens, widths.query)),
        gemm_workspace(workspace.take<std::byte>(gemm_bytes(config, widths, num_tokens))),
        lora_hidden(workspace.take<T>(num_tokens * config.lora_rank)) {}

  static std::int64_t gemm_bytes(const ModelConfig& config, Widths widths, std::int64_t num_tokens) {
    const int hidden = config.architecture.hidden_size;
    const auto bytes = [&](int num_outputs, int num_columns) {
      return gemm_workspace_bytes(config.backend.linear, kDTypeOf<T>, kDTypeOf<T>, int(num_tokens), num_outputs,
                                  num_columns);
    };
    return std::max({bytes(widths.query, hidden), bytes(widths.key, hidden), bytes(hidden, widths.query)});
  }
};

/// Every buffer of a block. Attention and experts use the same memory in turn; what is taken from the workspace
/// afterwards lies behind both. One such struct serves all blocks of an inference pass, and each block of a training
/// pass has its own, in which what the backward pass reads lies in memory of the block's own (SavedActivations).
template <class T>
struct Activations {
  View2D<T> in_TD, mid_TD, out_TD;  ///< the residual stream before, between and after the branches; may be one memory
  View2D<T> normed_TD;              ///< what a branch reads
  View2D<T> branch_TD;              ///< what it adds to the stream
  AttentionActivations<T> attention;
  MoEActivations<T> moe;

  Activations(const ModelConfig& config, const ExpertParallel* parallel, std::int64_t num_tokens, Workspace& workspace)
      : in_TD(workspace.take<T>(num_tokens, config.architecture.hidden_size)),
        mid_TD(in_TD),
        out_TD(in_TD),
        normed_TD(workspace.take<T>(num_tokens, config.architecture.hidden_size)),
        branch_TD(workspace.take<T>(num_tokens, config.architecture.hidden_size)),
        attention(in_frame<AttentionActivations<T>>(workspace, config, num_tokens)),
        moe(in_frame<MoEActivations<T>>(workspace, config, parallel, num_tokens)) {
    workspace.take<std::byte>(std::max(bytes_of<AttentionActivations<T>>(config, num_tokens),
                                       bytes_of<MoEActivations<T>>(config, parallel, num_tokens)));
  }

 private:
  template <class Part, class... Args>
  static Part in_frame(Workspace& workspace, const Args&... args) {
    const Workspace::Frame frame(workspace);
    return Part(args..., workspace);
  }

  template <class Part, class... Args>
  static std::int64_t bytes_of(const Args&... args) {
    Workspace counter;
    const Part part(args..., counter);
    return counter.peak_bytes();
  }
};

/// What the multiplication with lm_head works in, for up to `num_rows` rows of T.
template <class T>
struct HeadWorkspace {
  View1D<std::byte> gemm;
  View1D<float> lora_hidden;  ///< of the adapter

  HeadWorkspace(const ModelConfig& config, std::int64_t num_rows, Workspace& workspace)
      : gemm(workspace.take<std::byte>(gemm_workspace_bytes(config.backend.linear, kDTypeOf<T>, kDTypeOf<T>,
                                                            int(num_rows), config.architecture.vocab_size,
                                                            config.architecture.hidden_size))),
        lora_hidden(workspace.take<float>(num_rows * config.lora_rank)) {}
};

}  // namespace m2
