// SPDX-License-Identifier: Apache-2.0
#include "model/minimax_m2_attention.hpp"

#include <cmath>
#include <tuple>

#include "core/operation_log.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/attention/rope.hpp"
#include "kernels/gemm/gemm_backward.hpp"
#include "kernels/rowwise/residual_add.hpp"
#include "kernels/rowwise/rms_norm.hpp"

namespace m2 {
namespace {

float score_scale(const MiniMaxM2Config& config) { return 1.0f / std::sqrt(float(config.head_dim)); }

}  // namespace

template <class T>
void MiniMaxM2Attention::forward(const ExecSpace& exec, View2D<const T> x_TD, const PackedBatch& batch,
                                 const KvPages<T>& cache, const AttentionActivations<T>& buffers,
                                 View2D<T> out_TD) const {
  const MiniMaxM2Config& config = config_->architecture;
  const BackendConfig& backend = config_->backend;
  const auto& [q_TN, k_TN, v_TN, q_raw_TN, k_raw_TN, attended_TN, log_sum_exp_TH, gemm_workspace, lora_hidden] =
      buffers;
  const auto project = [&](View2D<const T> in, const Weight& weight, const LowRankAdapter& adapter, View2D<T> out) {
    const OperationPlace place("attention projections");
    gemm<T, T>(exec, backend.linear, in, weight, gemm_workspace, out);
    low_rank_forward<T, T>(exec, adapter, in, /*offset_E1=*/{}, lora_hidden, out);
  };

  project(x_TD, q_proj, lora.q_proj, q_raw_TN);
  project(x_TD, k_proj, lora.k_proj, k_raw_TN);
  project(x_TD, v_proj, lora.v_proj, v_TN);
  normalise_and_rotate<T>(exec, q_raw_TN, q_norm, batch, q_TN);
  normalise_and_rotate<T>(exec, k_raw_TN, k_norm, batch, k_TN);
  kv_write<T>(exec, k_TN, v_TN, batch.layout(), cache);
  attention<T>(exec, q_TN, cache, batch.layout(), score_scale(config), attended_TN, log_sum_exp_TH);
  project(attended_TN, o_proj, lora.o_proj, out_TD);
}

template <class T>
void MiniMaxM2Attention::normalise_and_rotate(const ExecSpace& exec, View2D<const T> raw_TN, View1D<const float> norm,
                                              const PackedBatch& batch, View2D<T> out_TN) const {
  const MiniMaxM2Config& config = config_->architecture;
  const BackendConfig& backend = config_->backend;
  rms_norm<T>(exec, raw_TN, norm, config.rms_norm_eps, backend.rms_norm, out_TN);
  rope<T>(exec, batch.cos_TJ, batch.sin_TJ, config.head_dim, backend.rope_tables == Precision::bfloat16,
          RopeDirection::forward, out_TN);
}

template <class T>
void MiniMaxM2Attention::backward(const ExecSpace& exec, View2D<const T> x_TD, const TrainingBatch& batch,
                                  const KvPages<T>& cache, const AttentionActivations<T>& saved,
                                  const BackwardBuffers<T>& buffers, View2D<const T> dout_TD, View2D<T> dx_TD) const {
  const MiniMaxM2Config& config = config_->architecture;
  const auto& [dq_TN, dk_TN, dv_TN] = std::tie(buffers.dq_TN, buffers.dk_TN, buffers.dv_TN);
  // From dy, the gradient of a product of `in`, that of `in` to `out`; adds to the gradients of the parameters.
  const auto through_product = [&](View2D<const T> dy, View2D<const T> in, const Weight& weight,
                                   const View3D<float>& gradient, const LowRankAdapter& adapter, View2D<T> out) {
    const OperationPlace place("attention projections");
    if (gradient.size() > 0) gemm_backward_weight<T, T>(exec, dy, in, /*offset_E1=*/{}, gradient);
    gemm_backward_input<T, T>(exec, dy, weight, /*offset_E1=*/{}, out);
    low_rank_backward_input<T, T>(exec, adapter, dy, /*offset_E1=*/{}, buffers.lora_dhidden, out);
    low_rank_backward_weights<T, T>(exec, adapter, in, dy, /*offset_E1=*/{}, saved.lora_hidden, buffers.lora_dhidden);
  };
  const auto through_norm = [&](View2D<const T> raw, View1D<const float> norm, const View3D<float>& gradient,
                                View2D<T> gradient_of_rotated) {
    rope<T>(exec, batch.packed.cos_TJ, batch.packed.sin_TJ, config.head_dim, /*in_storage_dtype=*/false,
            RopeDirection::backward, gradient_of_rotated);
    rms_norm_backward<T>(exec, raw, norm, config.rms_norm_eps, gradient_of_rotated, buffers.norm_scratch,
                         gradient_of_rotated, as_vector(gradient));
  };

  through_product(dout_TD, saved.attended_TN, o_proj, grad.o_proj, lora.o_proj, buffers.dattended_TN);
  normalise_and_rotate<T>(exec, saved.q_raw_TN, q_norm, batch.packed, saved.q_TN);
  attention_backward<T>(exec, saved.q_TN, cache, batch.packed.layout(), batch.sequence_begin_B1, score_scale(config),
                        saved.attended_TN, buffers.dattended_TN, saved.log_sum_exp_TH, buffers.attention_scratch, dq_TN,
                        dk_TN, dv_TN);
  through_norm(saved.q_raw_TN, q_norm, grad.q_norm, dq_TN);
  through_norm(saved.k_raw_TN, k_norm, grad.k_norm, dk_TN);
  through_product(dq_TN, x_TD, q_proj, grad.q_proj, lora.q_proj, dx_TD);
  through_product(dk_TN, x_TD, k_proj, grad.k_proj, lora.k_proj, buffers.part_TD);
  residual_add<T>(exec, buffers.part_TD, dx_TD, dx_TD);
  through_product(dv_TN, x_TD, v_proj, grad.v_proj, lora.v_proj, buffers.part_TD);
  residual_add<T>(exec, buffers.part_TD, dx_TD, dx_TD);
}

std::vector<Parameter> MiniMaxM2Attention::parameters(const ParameterSchemas& schemas, const std::string& prefix) {
  return {
      {.schema = schemas.at(prefix + "q_proj"), .weight = &q_proj, .gradient = &grad.q_proj, .adapter = &lora.q_proj},
      {.schema = schemas.at(prefix + "k_proj"), .weight = &k_proj, .gradient = &grad.k_proj, .adapter = &lora.k_proj},
      {.schema = schemas.at(prefix + "v_proj"), .weight = &v_proj, .gradient = &grad.v_proj, .adapter = &lora.v_proj},
      {.schema = schemas.at(prefix + "o_proj"), .weight = &o_proj, .gradient = &grad.o_proj, .adapter = &lora.o_proj},
      {.schema = schemas.at(prefix + "q_norm"), .vector = &q_norm, .gradient = &grad.q_norm},
      {.schema = schemas.at(prefix + "k_norm"), .vector = &k_norm, .gradient = &grad.k_norm}};
}

#define M2_INSTANTIATE_ATTENTION(T)                                                                                   \
  template void MiniMaxM2Attention::forward(const ExecSpace&, View2D<const T>, const PackedBatch&, const KvPages<T>&, \
                                            const AttentionActivations<T>&, View2D<T>) const;                         \
  template void MiniMaxM2Attention::backward(const ExecSpace&, View2D<const T>, const TrainingBatch&,                 \
                                             const KvPages<T>&, const AttentionActivations<T>&,                       \
                                             const BackwardBuffers<T>&, View2D<const T>, View2D<T>) const
M2_INSTANTIATE_ATTENTION(float);
M2_INSTANTIATE_ATTENTION(Bf16);
#undef M2_INSTANTIATE_ATTENTION

}  // namespace m2
