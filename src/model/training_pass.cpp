// SPDX-License-Identifier: Apache-2.0
#include "model/training_pass.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/host_copy.hpp"
#include "core/operation_log.hpp"
#include "kernels/rowwise/embedding.hpp"
#include "kernels/rowwise/rms_norm.hpp"

namespace m2 {
namespace {

std::int64_t longest(const TrainingSequences& sequences) {
  std::int64_t length = 0;
  for (int b = 0; b < sequences.num_sequences(); ++b) {
    length = std::max<std::int64_t>(length, sequences.begin_B1[b + 1] - sequences.begin_B1[b]);
  }
  return length;
}

std::int64_t count_pages(const TrainingSequences& sequences) {
  std::int64_t pages = 0;
  for (int b = 0; b < sequences.num_sequences(); ++b) {
    pages += KVCache::pages_for(sequences.begin_B1[b + 1] - sequences.begin_B1[b]);
  }
  return pages;
}

}  // namespace

template <class T>
TrainingPass<T>::Buffers::Buffers(const ModelConfig& config, std::span<const Recompute> recompute,
                                  std::int64_t num_tokens, int num_sequences, Workspace& workspace)
    : batch(num_tokens, config.architecture.rotary_dim, workspace),
      begin_B1(workspace.take<int>(num_sequences + 1)),
      embedding_scratch(workspace.take<int>(embedding_backward_scratch(num_tokens, config.architecture.vocab_size))),
      logprob_T(workspace.take<float>(num_tokens)),
      final_TD(workspace.take<T>(num_tokens, config.architecture.hidden_size)),
      dstream_TD(workspace.take<T>(num_tokens, config.architecture.hidden_size)) {
  const Activations<T> shared(config, /*parallel=*/nullptr, num_tokens, workspace);
  // Where a layer that saves little computes again what it needs.
  const SavedActivations<T> spare(config, num_tokens, Recompute::selective, shared, shared.in_TD, workspace);
  View2D<T> stream_TD = shared.in_TD;
  for (const Recompute mode : recompute) {
    layers.push_back(
        SavedActivations<T>(config, num_tokens, mode, spare.activations(), stream_TD, workspace).activations());
    stream_TD = layers.back().out_TD;
  }
  {
    const Workspace::Frame frame(workspace);
    head.emplace(config.backend.linear, num_tokens, config.architecture.vocab_size, config.architecture.hidden_size,
                 workspace, config.lora_rank);
  }
  backward.emplace(config, num_tokens, workspace);
}

template <class T>
TrainingPass<T>::TrainingPass(const MiniMaxM2Model& model, std::vector<Recompute> recompute)
    : recompute_(std::move(recompute)) {
  M2_REQUIRE(model.expert_parallel() == nullptr,
             "training: the experts are split over {} ranks; training runs on one process",
             model.expert_parallel()->group->size());
  M2_REQUIRE(recompute_.size() == model.layers.size(), "training: {} recompute modes for {} layers", recompute_.size(),
             model.layers.size());
  M2_REQUIRE(std::ranges::count(recompute_, Recompute::automatic) == 0,
             "training: the recompute mode of every layer must be resolved");
}

template <class T>
std::int64_t TrainingPass<T>::bytes(const ModelConfig& config, std::span<const Recompute> recompute,
                                    std::int64_t num_tokens, int num_sequences) {
  Workspace counter;
  const Buffers buffers(config, recompute, num_tokens, num_sequences, counter);
  const std::int64_t pages = num_tokens / kKvPage + num_sequences;  // at most
  return counter.peak_bytes() + pages * KVCache::page_bytes(config.architecture, kDTypeOf<T>);
}

template <class T>
void TrainingPass<T>::make_room(const ExecSpace& exec, const ModelConfig& config, const TrainingSequences& sequences) {
  const std::int64_t num_tokens = sequences.num_tokens();
  buffers_.reset();
  frame_.reset();
  Workspace counter;
  Buffers(config, recompute_, num_tokens, sequences.num_sequences(), counter);
  if (counter.peak_bytes() > workspace_.capacity_bytes()) {
    workspace_ = Workspace();  // the old one goes first: both together may not fit
    workspace_ = Workspace(exec, counter.peak_bytes());
  }
  frame_.emplace(workspace_);
  buffers_.emplace(config, recompute_, num_tokens, sequences.num_sequences(), workspace_);

  for (const int row : std::exchange(rows_, {})) cache_->remove_sequence(row);
  const std::int64_t pages = count_pages(sequences);
  if (!cache_ || cache_->num_pages() < pages || cache_length_ < longest(sequences) ||
      cache_sequences_ < sequences.num_sequences()) {
    cache_.reset();
    cache_length_ = std::max(cache_length_, longest(sequences));
    cache_sequences_ = std::max(cache_sequences_, sequences.num_sequences());
    cache_.emplace(exec, config.architecture, kDTypeOf<T>, pages, cache_sequences_, cache_length_);
  }
}

template <class T>
PackedTokens TrainingPass<T>::place_in_cache(const TrainingSequences& sequences, int vocabulary) {
  PackedTokens tokens;
  for (int b = 0; b < sequences.num_sequences(); ++b) {
    const int begin = sequences.begin_B1[b], length = sequences.begin_B1[b + 1] - begin;
    rows_.push_back(cache_->add_sequence());
    cache_->reserve(rows_.back(), length);
    for (int position = 0; position < length; ++position) {
      const int token = sequences.token_T[begin + position], target = sequences.target_T[begin + position];
      M2_REQUIRE(token >= 0 && token < vocabulary && (target == kNoLabel || (target >= 0 && target < vocabulary)),
                 "training sequence {}: token {} at position {}, label {}; expected 0 to {}, or {} as a label", b,
                 token, position, target, vocabulary - 1, kNoLabel);
      tokens.add(token, position, rows_.back(), position);
    }
  }
  return tokens;
}

// Up to the final norm.
template <class T>
void TrainingPass<T>::run_blocks(const ExecSpace& exec, const MiniMaxM2Model& model,
                                 const TrainingSequences& sequences) {
  const ModelConfig& config = model.config();
  M2_REQUIRE(sequences.num_tokens() > 0, "training: a pass without tokens");
  awaits_backward_ = false;
  make_room(exec, config, sequences);
  Buffers& buffers = *buffers_;
  buffers.batch.fill(exec, place_in_cache(sequences, config.architecture.vocab_size), *cache_,
                     config.architecture.rope_theta, config.backend.rope_tables == Precision::bfloat16);
  copy_to_device(exec, std::span(sequences.begin_B1), buffers.begin_B1);
  model.run<T>(exec, buffers.batch, *cache_, buffers.layers, workspace_, buffers.final_TD);
}

template <class T>
TrainingLoss TrainingPass<T>::read_loss(const ExecSpace& exec, const TrainingSequences& sequences) const {
  TrainingLoss loss{.num_labels = sequences.num_labels(),
                    .logprob_T = to_host(exec, buffers_->logprob_T, "m2::training: log-probabilities")};
  for (const float logprob : loss.logprob_T) loss.nll -= double(logprob);
  return loss;
}

template <class T>
TrainingLoss TrainingPass<T>::forward(const ExecSpace& exec, const MiniMaxM2Model& model,
                                      const TrainingSequences& sequences, float loss_scale, const TrainedHead& head) {
  run_blocks(exec, model, sequences);
  const OperationPlace place("lm_head");
  linear_cross_entropy<T>(exec, model.config().backend.linear, buffers_->final_TD, head.weight, sequences.target_T,
                          loss_scale, *buffers_->head, buffers_->logprob_T, buffers_->dstream_TD, head.gradient,
                          head.adapter);
  awaits_backward_ = true;
  return read_loss(exec, sequences);
}

template <class T>
TrainingLoss TrainingPass<T>::evaluate(const ExecSpace& exec, const MiniMaxM2Model& model,
                                       const TrainingSequences& sequences, const TrainedHead& head) {
  run_blocks(exec, model, sequences);
  const OperationPlace place("lm_head");
  linear_cross_entropy<T>(exec, model.config().backend.linear, buffers_->final_TD, head.weight, sequences.target_T,
                          /*scale=*/0.0f, *buffers_->head, buffers_->logprob_T, /*dx_RD=*/{}, /*dw_1VD=*/{},
                          head.adapter);
  return read_loss(exec, sequences);
}

template <class T>
void TrainingPass<T>::backward(const ExecSpace& exec, const MiniMaxM2Model& model, float auxiliary_share,
                               GradientUnits& units) {
  M2_REQUIRE(std::exchange(awaits_backward_, false), "training: backward() without a forward() before it");
  const MiniMaxM2Config& config = model.config().architecture;
  Buffers& buffers = *buffers_;
  const TrainingBatch batch{buffers.batch, buffers.begin_B1};
  buffers.backward->auxiliary_share = auxiliary_share;
  rms_norm_backward<T>(exec, buffers.layers.back().out_TD, model.norm, float(config.rms_norm_eps), buffers.dstream_TD,
                       buffers.backward->norm_scratch, buffers.dstream_TD, as_vector(model.grad.norm));
  units.added({.kind = GradientUnit::Kind::head});
  for (int layer = int(std::ssize(model.layers)) - 1; layer >= 0; --layer) {
    model.layers[layer].backward<T>(exec, batch, cache_->layer<T>(layer), buffers.layers[layer], recompute_[layer],
                                    *buffers.backward, buffers.dstream_TD);
    units.added({GradientUnit::Kind::experts, layer});
    units.added({GradientUnit::Kind::dense, layer});
  }
  const View3D<float>& gradient = model.grad.embed_tokens;
  if (gradient.size() > 0) {
    embedding_backward<T>(exec, buffers.batch.token_T, buffers.dstream_TD, buffers.embedding_scratch,
                          View2D<float>(gradient.data(), gradient.extent(1), gradient.extent(2)));
  }
  units.added({.kind = GradientUnit::Kind::embedding});
}

template class TrainingPass<float>;
template class TrainingPass<Bf16>;

}  // namespace m2
