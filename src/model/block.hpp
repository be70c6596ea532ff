// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/minimax_m2_attention.hpp"
#include "model/moe.hpp"

namespace m2 {

/// One layer: attention and a mixture of experts, each behind an RMSNorm and added to the residual stream.
class Block {
 public:
  /// `parallel`: where the experts are split over ranks; nullptr where all are here.
  Block(int layer_idx, const std::shared_ptr<const ModelConfig>& config,
        const std::shared_ptr<ExpertParallel>& parallel = nullptr);

  /// Adds the layer's two branches to buffers.hidden_TD. `cache` is this layer's storage.
  template <class T>
  void forward(const ExecSpace& exec, const PackedBatch& batch, const KvPages<T>& cache,
               const Activations<T>& buffers) const;

  /// Those whose names begin with "layers/<layer_idx>/".
  std::vector<Parameter> parameters(const ParameterSchemas& schemas);

  MiniMaxM2Attention self_attn;
  MoE mlp;
  View1D<float> input_layernorm, post_attention_layernorm;

 private:
  std::string prefix_;
  std::shared_ptr<const ModelConfig> config_;
};

}  // namespace m2
