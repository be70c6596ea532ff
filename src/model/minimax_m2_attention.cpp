// SPDX-License-Identifier: Apache-2.0
#include "model/minimax_m2_attention.hpp"

#include <cmath>

#include "core/operation_log.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/attention/rope.hpp"
#include "kernels/rowwise/rms_norm.hpp"

namespace m2 {

template <class T>
void MiniMaxM2Attention::forward(const ExecSpace& exec, View2D<const T> x_TD, const PackedBatch& batch,
                                 const KvPages<T>& cache, const AttentionActivations<T>& buffers,
                                 View2D<T> out_TD) const {
  const MiniMaxM2Config& config = config_->architecture;
  const BackendConfig& backend = config_->backend;
  const auto& [q_TN, k_TN, v_TN, attended_TN, gemm_workspace] = buffers;
  const auto project = [&](View2D<const T> in, const Weight& weight, View2D<T> out) {
    const OperationPlace place("attention projections");
    gemm<T, T>(exec, backend.linear, in, weight, gemm_workspace, out);
  };
  const bool rotate_in_storage_dtype = backend.rope_tables == Precision::bfloat16;

  project(x_TD, q_proj, q_TN);
  project(x_TD, k_proj, k_TN);
  project(x_TD, v_proj, v_TN);
  rms_norm<T>(exec, q_TN, q_norm, config.rms_norm_eps, backend.rms_norm, q_TN);
  rms_norm<T>(exec, k_TN, k_norm, config.rms_norm_eps, backend.rms_norm, k_TN);
  rope<T>(exec, batch.cos_TJ, batch.sin_TJ, config.head_dim, rotate_in_storage_dtype, q_TN);
  rope<T>(exec, batch.cos_TJ, batch.sin_TJ, config.head_dim, rotate_in_storage_dtype, k_TN);
  kv_write<T>(exec, k_TN, v_TN, batch.layout(), cache);
  attention<T>(exec, q_TN, cache, batch.layout(), 1.0f / std::sqrt(float(config.head_dim)), attended_TN);
  project(attended_TN, o_proj, out_TD);
}

std::vector<Parameter> MiniMaxM2Attention::parameters(const ParameterSchemas& schemas, const std::string& prefix) {
  return {{.schema = schemas.at(prefix + "q_proj"), .weight = &q_proj},
          {.schema = schemas.at(prefix + "k_proj"), .weight = &k_proj},
          {.schema = schemas.at(prefix + "v_proj"), .weight = &v_proj},
          {.schema = schemas.at(prefix + "o_proj"), .weight = &o_proj},
          {.schema = schemas.at(prefix + "q_norm"), .vector = &q_norm},
          {.schema = schemas.at(prefix + "k_norm"), .vector = &k_norm}};
}

template void MiniMaxM2Attention::forward<float>(const ExecSpace&, View2D<const float>, const PackedBatch&,
                                                 const KvPages<float>&, const AttentionActivations<float>&,
                                                 View2D<float>) const;
template void MiniMaxM2Attention::forward<Bf16>(const ExecSpace&, View2D<const Bf16>, const PackedBatch&,
                                                const KvPages<Bf16>&, const AttentionActivations<Bf16>&,
                                                View2D<Bf16>) const;

}  // namespace m2
