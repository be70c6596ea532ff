// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "config/backend_config.hpp"
#include "config/minimax_m2_config.hpp"
#include "kernels/weights/weight.hpp"
#include "model/activations.hpp"
#include "model/packed_batch.hpp"
#include "model/parameter.hpp"

namespace m2 {

/// Grouped-query attention with one RMSNorm over all query heads, one over all key heads, and RoPE on the first
/// `rotary_dim` values of each head.
class MiniMaxM2Attention {
 public:
  MiniMaxM2Attention(const MiniMaxM2Config& config, const BackendConfig& backend)
      : config_(config), backend_(backend) {}

  /// out = o_proj(attention(x)); the keys and values of x are added to `cache`, one layer's pages.
  template <class T>
  void forward(const ExecSpace& exec, View2D<const T> x_TD, const PackedBatch& batch, const KvPages<T>& cache,
               const AttentionActivations<T>& buffers, View1D<std::byte> gemm_workspace, View2D<T> out_TD) const;

  /// Projections normal with deviation 0.02, norms 1 (NeMo AutoModel's initialisation).
  void init_weights(const ExecSpace& exec, std::uint64_t seed, const std::string& prefix);

  /// Names begin with `prefix`, "layers/<i>/attention/".
  std::vector<Parameter> parameters(const std::string& prefix);

  Weight q_proj, k_proj, v_proj, o_proj;
  View1D<float> q_norm, k_norm;

 private:
  MiniMaxM2Config config_;
  BackendConfig backend_;
};

}  // namespace m2
