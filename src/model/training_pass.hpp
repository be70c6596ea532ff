// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/loss/linear_cross_entropy.hpp"
#include "model/gradient_units.hpp"
#include "model/minimax_m2_model.hpp"
#include "model/training_sequences.hpp"

namespace m2 {

/// The head of a model as a training pass uses it.
struct TrainedHead {
  const Weight& weight;    ///< (V, D)
  View3D<float> gradient;  ///< without elements: not trained
  const LowRankAdapter& adapter;
};

/// Forward and backward of one micro-batch at a time: the buffers of the pass, and what is kept from one to the other.
/// T is the activations' type. The forward pass runs the same blocks as inference, on buffers that keep what the
/// backward pass reads.
template <class T>
class TrainingPass {
 public:
  /// `recompute`: of each layer, none, selective or block. All experts must be in this process: throws Error.
  TrainingPass(const MiniMaxM2Model& model, std::vector<Recompute> recompute);
  TrainingPass(const TrainingPass&) = delete;
  TrainingPass& operator=(const TrainingPass&) = delete;

  /// The loss of every label times `loss_scale` is what backward() differentiates. Adds the head's gradient. Throws
  /// Error for tokens outside the vocabulary.
  TrainingLoss forward(const ExecSpace& exec, const MiniMaxM2Model& model, const TrainingSequences& sequences,
                       float loss_scale, const TrainedHead& head);

  /// The loss alone: no gradient changes.
  TrainingLoss evaluate(const ExecSpace& exec, const MiniMaxM2Model& model, const TrainingSequences& sequences,
                        const TrainedHead& head);

  /// Adds the gradients of everything below the head, and of the auxiliary loss, of which this pass is
  /// `auxiliary_share`; tells `units` what it has added. Once for each forward(): throws Error otherwise.
  void backward(const ExecSpace& exec, const MiniMaxM2Model& model, float auxiliary_share, GradientUnits& units);

  /// Buffers of a pass over `num_tokens` tokens in `num_sequences` sequences, the keys and values included.
  static std::int64_t bytes(const ModelConfig& config, std::span<const Recompute> recompute, std::int64_t num_tokens,
                            int num_sequences);

 private:
  // All buffers of one pass.
  struct Buffers {
    PackedBatch batch;
    View1D<int> begin_B1, embedding_scratch;
    View1D<float> logprob_T;
    View2D<T> final_TD;    // after the final norm
    View2D<T> dstream_TD;  // the gradient that travels down
    std::vector<Activations<T>> layers;
    std::optional<LinearCrossEntropyBuffers<T>>
        head;  // in the memory of `backward`, which begins when the head is done
    std::optional<BackwardBuffers<T>> backward;

    Buffers(const ModelConfig& config, std::span<const Recompute> recompute, std::int64_t num_tokens, int num_sequences,
            Workspace& workspace);
  };

  void run_blocks(const ExecSpace& exec, const MiniMaxM2Model& model, const TrainingSequences& sequences);
  TrainingLoss read_loss(const ExecSpace& exec, const TrainingSequences& sequences) const;
  void make_room(const ExecSpace& exec, const ModelConfig& config, const TrainingSequences& sequences);
  PackedTokens place_in_cache(const TrainingSequences& sequences, int vocabulary);

  std::vector<Recompute> recompute_;
  Workspace workspace_;
  std::optional<Workspace::Frame> frame_;
  std::optional<Buffers> buffers_;
  std::optional<KVCache> cache_;
  std::int64_t cache_length_ = 0;  // of the longest sequence that fits
  int cache_sequences_ = 0;
  std::vector<int> rows_;  // of the page table, in use
  bool awaits_backward_ = false;
};

}  // namespace m2
