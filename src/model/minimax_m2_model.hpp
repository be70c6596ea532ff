// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "config/model_config.hpp"
#include "model/block.hpp"

namespace m2 {

/// Sees the residual stream: index 0 after the embedding, i after i blocks; the last one after the final norm too.
template <class T>
using HiddenObserver = std::function<void(int index, View2D<const T> hidden_TD)>;

/// The decoder without its head: embedding, blocks, final norm.
class MiniMaxM2Model {
 public:
  /// Without memory for the parameters. `parallel`: where the experts are split over ranks; nullptr where all are here.
  /// Throws Error when `config` asks for what is not supported.
  explicit MiniMaxM2Model(std::shared_ptr<const ModelConfig> config,
                          std::shared_ptr<ExpertParallel> parallel = nullptr);

  /// Final hidden states of `tokens`, (T, D). Their keys and values go to `cache`, whose sequences must have room
  /// reserved for the tokens' cache positions. Collective where the experts are split over ranks: a rank without tokens
  /// passes none, and `workspace` must have room for the tokens of the rank that has most. The result lies in a buffer
  /// of `workspace`, valid until the caller's frame ends.
  template <class T>
  View2D<const T> forward(const ExecSpace& exec, const PackedTokens& tokens, KVCache& cache, Workspace& workspace,
                          const HiddenObserver<T>& observer = {}) const;

  /// The blocks between embedding and final norm, whose result is out_TD, (T, D); each works in its own of `buffers`,
  /// or all in the only one. What forward() is made of, for training.
  template <class T>
  void run(const ExecSpace& exec, const PackedBatch& batch, KVCache& cache, std::span<const Activations<T>> buffers,
           Workspace& plans, View2D<T> out_TD, const HiddenObserver<T>& observer = {}) const;

  /// What forward() takes from the workspace at most, where no rank has more tokens. T is the activations' type.
  template <class T>
  std::int64_t workspace_bytes(std::int64_t num_tokens) const;

  /// All but the head's, in the order of the schemas.
  std::vector<Parameter> parameters(const ParameterSchemas& schemas);

  const ModelConfig& config() const { return *config_; }
  /// nullptr where all experts are in this process.
  const std::shared_ptr<ExpertParallel>& expert_parallel() const { return parallel_; }

  /// From now on forward() counts how many of this rank's tokens choose each expert.
  void count_expert_load(const ExecSpace& exec);
  /// The counts so far, (layers, E); empty without count_expert_load().
  std::vector<std::vector<std::int64_t>> expert_load(const ExecSpace& exec) const;

  Weight embed_tokens;  ///< (V, D)
  std::vector<Block> layers;
  View1D<float> norm;

  struct Gradients {
    View3D<float> embed_tokens, norm;
  } grad;

 private:
  std::shared_ptr<const ModelConfig> config_;
  std::shared_ptr<ExpertParallel> parallel_;
};

}  // namespace m2
