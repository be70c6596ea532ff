// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/training_sections.hpp"
#include "model/minimax_m2_attention.hpp"
#include "model/moe.hpp"

namespace m2 {

/// One layer: attention and a mixture of experts, each behind an RMSNorm and added to the residual stream.
class Block {
 public:
  /// `parallel`: where the experts are split over ranks; nullptr where all are here.
  Block(int layer_idx, const std::shared_ptr<const ModelConfig>& config,
        const std::shared_ptr<ExpertParallel>& parallel = nullptr);

  /// buffers.out_TD = buffers.in_TD and the layer's two branches. `cache` is this layer's storage.
  template <class T>
  void forward(const ExecSpace& exec, const PackedBatch& batch, const KvPages<T>& cache,
               const Activations<T>& buffers) const;

  /// Turns dstream_TD, the gradient of out_TD, into that of in_TD, and adds to the gradients of the parameters that
  /// have memory for theirs. `saved` is what forward() was called with; of what `recompute` leaves out, the buffers are
  /// filled again, with the same bits. Overwrites the products of the experts in `saved`.
  template <class T>
  void backward(const ExecSpace& exec, const TrainingBatch& batch, const KvPages<T>& cache, const Activations<T>& saved,
                Recompute recompute, const BackwardBuffers<T>& buffers, View2D<T> dstream_TD) const;

  /// Those whose names begin with "layers/<layer_idx>/".
  std::vector<Parameter> parameters(const ParameterSchemas& schemas);

  MiniMaxM2Attention self_attn;
  MoE mlp;
  View1D<float> input_layernorm, post_attention_layernorm;

  struct Gradients {
    View3D<float> input_layernorm, post_attention_layernorm;
  } grad;

 private:
  // The first branch: mid_TD = in_TD + attention.
  template <class T>
  void attend(const ExecSpace& exec, const PackedBatch& batch, const KvPages<T>& cache,
              const Activations<T>& buffers) const;
  template <class T>
  void normalise(const ExecSpace& exec, View2D<const T> x_TD, View1D<const float> weight, View2D<T> out_TD) const;

  std::string prefix_;
  std::shared_ptr<const ModelConfig> config_;
};

}  // namespace m2
