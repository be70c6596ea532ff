// SPDX-License-Identifier: Apache-2.0
#include "model/block.hpp"

#include <fmt/format.h>

#include "kernels/rowwise/residual_add.hpp"
#include "kernels/rowwise/rms_norm.hpp"

namespace m2 {

Block::Block(int layer_idx, const std::shared_ptr<const ModelConfig>& config,
             const std::shared_ptr<ExpertParallel>& parallel)
    : self_attn(config),
      mlp(layer_idx, config, parallel),
      prefix_(fmt::format("layers/{}/", layer_idx)),
      config_(config) {}

template <class T>
void Block::attend(const ExecSpace& exec, const PackedBatch& batch, const KvPages<T>& cache,
                   const Activations<T>& buffers) const {
  normalise<T>(exec, buffers.in_TD, input_layernorm, buffers.normed_TD);
  self_attn.forward<T>(exec, buffers.normed_TD, batch, cache, buffers.attention, buffers.branch_TD);
  residual_add<T>(exec, buffers.branch_TD, buffers.in_TD, buffers.mid_TD);
}

template <class T>
void Block::forward(const ExecSpace& exec, const PackedBatch& batch, const KvPages<T>& cache,
                    const Activations<T>& buffers) const {
  attend<T>(exec, batch, cache, buffers);
  normalise<T>(exec, buffers.mid_TD, post_attention_layernorm, buffers.normed_TD);
  mlp.forward<T>(exec, buffers.normed_TD, batch, buffers.moe, buffers.branch_TD);
  residual_add<T>(exec, buffers.branch_TD, buffers.mid_TD, buffers.out_TD);
}

template <class T>
void Block::normalise(const ExecSpace& exec, View2D<const T> x_TD, View1D<const float> weight, View2D<T> out_TD) const {
  rms_norm<T>(exec, x_TD, weight, float(config_->architecture.rms_norm_eps), config_->backend.rms_norm, out_TD);
}

template <class T>
void Block::backward(const ExecSpace& exec, const TrainingBatch& batch, const KvPages<T>& cache,
                     const Activations<T>& saved, Recompute recompute, const BackwardBuffers<T>& buffers,
                     View2D<T> dstream_TD) const {
  const View2D<T> dnormed_TD = buffers.dnormed_TD;
  const auto through_norm = [&](View2D<const T> x_TD, View1D<const float> weight, const View3D<float>& gradient) {
    rms_norm_backward<T>(exec, x_TD, weight, float(config_->architecture.rms_norm_eps), dnormed_TD,
                         buffers.norm_scratch, dnormed_TD, as_vector(gradient));
    residual_add<T>(exec, dnormed_TD, dstream_TD, dstream_TD);
  };
  if (recompute == Recompute::block) attend<T>(exec, batch.packed, cache, saved);
  normalise<T>(exec, saved.mid_TD, post_attention_layernorm, saved.normed_TD);
  mlp.backward<T>(exec, saved.normed_TD, batch.packed, saved.moe, buffers, dstream_TD, dnormed_TD);
  through_norm(saved.mid_TD, post_attention_layernorm, grad.post_attention_layernorm);

  normalise<T>(exec, saved.in_TD, input_layernorm, saved.normed_TD);
  self_attn.backward<T>(exec, saved.normed_TD, batch, cache, saved.attention, buffers, dstream_TD, dnormed_TD);
  through_norm(saved.in_TD, input_layernorm, grad.input_layernorm);
}

std::vector<Parameter> Block::parameters(const ParameterSchemas& schemas) {
  std::vector<Parameter> list{
      {.schema = schemas.at(prefix_ + "input_norm"), .vector = &input_layernorm, .gradient = &grad.input_layernorm}};
  append(list, self_attn.parameters(schemas, prefix_ + "attention/"));
  list.push_back({.schema = schemas.at(prefix_ + "post_attention_norm"),
                  .vector = &post_attention_layernorm,
                  .gradient = &grad.post_attention_layernorm});
  append(list, mlp.parameters(schemas, prefix_ + "moe/"));
  return list;
}

#define M2_INSTANTIATE_BLOCK(T)                                                                                       \
  template void Block::forward(const ExecSpace&, const PackedBatch&, const KvPages<T>&, const Activations<T>&) const; \
  template void Block::backward(const ExecSpace&, const TrainingBatch&, const KvPages<T>&, const Activations<T>&,     \
                                Recompute, const BackwardBuffers<T>&, View2D<T>) const
M2_INSTANTIATE_BLOCK(float);
M2_INSTANTIATE_BLOCK(Bf16);
#undef M2_INSTANTIATE_BLOCK

}  // namespace m2
