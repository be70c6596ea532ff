// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "config/model_config.hpp"
#include "kernels/gemm/low_rank.hpp"
#include "kernels/weights/weight.hpp"
#include "model/activations.hpp"
#include "model/backward_buffers.hpp"
#include "model/packed_batch.hpp"
#include "model/parameter.hpp"

namespace m2 {

/// Grouped-query attention with one RMSNorm over all query heads, one over all key heads, and RoPE on the first
/// `rotary_dim` values of each head.
class MiniMaxM2Attention {
 public:
  explicit MiniMaxM2Attention(std::shared_ptr<const ModelConfig> config) : config_(std::move(config)) {}

  /// out = o_proj(attention(x)); the keys and values of x are added to `cache`, one layer's pages.
  template <class T>
  void forward(const ExecSpace& exec, View2D<const T> x_TD, const PackedBatch& batch, const KvPages<T>& cache,
               const AttentionActivations<T>& buffers, View2D<T> out_TD) const;

  /// The gradient of x, overwritten, from that of out; adds to the parameters' gradients where they have memory.
  /// `saved` is what forward() was called with; x_TD has been computed again.
  template <class T>
  void backward(const ExecSpace& exec, View2D<const T> x_TD, const TrainingBatch& batch, const KvPages<T>& cache,
                const AttentionActivations<T>& saved, const BackwardBuffers<T>& buffers, View2D<const T> dout_TD,
                View2D<T> dx_TD) const;

  /// Names begin with `prefix`, "layers/<i>/attention/".
  std::vector<Parameter> parameters(const ParameterSchemas& schemas, const std::string& prefix);

  Weight q_proj, k_proj, v_proj, o_proj;
  View1D<float> q_norm, k_norm;

  struct Gradients {
    View3D<float> q_proj, k_proj, v_proj, o_proj, q_norm, k_norm;
  } grad;
  struct Adapters {
    LowRankAdapter q_proj, k_proj, v_proj, o_proj;
  } lora;  ///< beside the weights of the same names

 private:
  template <class T>
  void normalise_and_rotate(const ExecSpace& exec, View2D<const T> raw_TN, View1D<const float> norm,
                            const PackedBatch& batch, View2D<T> out_TN) const;

  std::shared_ptr<const ModelConfig> config_;
};

}  // namespace m2
