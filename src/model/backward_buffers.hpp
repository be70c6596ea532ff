// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "config/training_sections.hpp"
#include "kernels/attention/attention_backward.hpp"
#include "kernels/moe/auxiliary_loss.hpp"
#include "kernels/rowwise/rms_norm.hpp"
#include "model/activations.hpp"
#include "model/packed_batch.hpp"

namespace m2 {

/// The tokens of a training pass: those of a sequence stand in a row, from cache position 0 on.
struct TrainingBatch {
  const PackedBatch& packed;
  View1D<const int> sequence_begin_B1;  ///< the first token of each sequence; the last entry is the number of tokens
};

/// What the backward pass of a block reads of its forward pass, in memory of the block's own. The keys and values stay
/// in the cache. `recompute` says what is left out: the products of the experts (selective), or everything but the
/// residual stream and the router's choice (block).
template <class T>
class SavedActivations {
 public:
  /// `buffers`: those of any block, where what is not saved lies. `in_TD`: what the block before gives out.
  SavedActivations(const ModelConfig& config, std::int64_t num_tokens, Recompute recompute,
                   const Activations<T>& buffers, View2D<T> in_TD, Workspace& arena)
      : activations_(buffers) {
    const MiniMaxM2Config& architecture = config.architecture;
    Activations<T>& kept = activations_;
    kept.in_TD = in_TD;
    kept.out_TD = arena.take<T>(num_tokens, architecture.hidden_size);
    kept.moe.routing = Routing(architecture, num_tokens, arena);
    kept.moe.local->plan.emplace(num_tokens, architecture.num_experts_per_tok, architecture.num_local_experts, arena);
    if (recompute == Recompute::block) return;
    kept.mid_TD = arena.take<T>(num_tokens, architecture.hidden_size);
    AttentionActivations<T>& attention = kept.attention;
    attention.q_raw_TN = arena.take<T>(num_tokens, attention.q_TN.extent(1));
    attention.k_raw_TN = arena.take<T>(num_tokens, attention.k_TN.extent(1));
    attention.attended_TN = arena.take<T>(num_tokens, attention.attended_TN.extent(1));
    attention.log_sum_exp_TH = arena.take<float>(num_tokens, architecture.num_attention_heads);
    if (recompute == Recompute::selective) return;
    ExpertRows<T>& rows = kept.moe.local->rows;
    rows.gate_up_R2F = arena.take<T>(rows.gate_up_R2F.extent(0), rows.gate_up_R2F.extent(1));
    rows.keeps_gate_up = true;
  }

  const Activations<T>& activations() const { return activations_; }

 private:
  Activations<T> activations_;
};

/// What the backward pass of a block works in, for T tokens: used again by every block.
template <class T>
struct BackwardBuffers {
  View2D<T> dnormed_TD, part_TD;
  View1D<float> norm_scratch;
  View2D<T> dattended_TN, dq_TN, dk_TN, dv_TN;
  View1D<float> attention_scratch;
  View2D<float> dweight_TK, dlogits_TE;
  std::optional<AuxiliaryLossScratch> auxiliary;  ///< if there is such a loss
  float auxiliary_share = 1.0f;                   ///< of this micro-batch in it: 1 / micro-batches of the step
  View1D<float> dweight_R;
  View1D<T> lora_dhidden;  ///< of the adapters of attention and experts
  View1D<float> router_lora_hidden, router_lora_dhidden;

  BackwardBuffers(const ModelConfig& config, std::int64_t num_tokens, Workspace& workspace)
      : BackwardBuffers(config.architecture, num_tokens,
                        config.architecture.num_attention_heads * config.architecture.head_dim,
                        config.architecture.num_key_value_heads * config.architecture.head_dim, workspace) {
    lora_dhidden = workspace.take<T>(num_tokens * config.architecture.num_experts_per_tok * config.lora_rank);
    router_lora_hidden = workspace.take<float>(num_tokens * config.lora_rank);
    router_lora_dhidden = workspace.take<float>(num_tokens * config.lora_rank);
    if (config.moe.aux_loss_coeff > 0.0 && !config.backend.fake_balanced_gate) {
      auxiliary.emplace(num_tokens, config.architecture.num_local_experts, workspace);
    }
  }

 private:
  BackwardBuffers(const MiniMaxM2Config& config, std::int64_t num_tokens, int query_width, int key_width,
                  Workspace& workspace)
      : dnormed_TD(workspace.take<T>(num_tokens, config.hidden_size)),
        part_TD(workspace.take<T>(num_tokens, config.hidden_size)),
        norm_scratch(
            workspace.take<float>(rms_norm_backward_scratch(num_tokens, std::max(config.hidden_size, query_width)))),
        dattended_TN(workspace.take<T>(num_tokens, query_width)),
        dq_TN(workspace.take<T>(num_tokens, query_width)),
        dk_TN(workspace.take<T>(num_tokens, key_width)),
        dv_TN(workspace.take<T>(num_tokens, key_width)),
        attention_scratch(workspace.take<float>(attention_backward_scratch(num_tokens, config.num_attention_heads))),
        dweight_TK(workspace.take<float>(num_tokens, config.num_experts_per_tok)),
        dlogits_TE(workspace.take<float>(num_tokens, config.num_local_experts)),
        dweight_R(workspace.take<float>(num_tokens * config.num_experts_per_tok)) {}
};

}  // namespace m2
