// SPDX-License-Identifier: Apache-2.0
#include "model/minimax_m2_model.hpp"

#include <iterator>
#include <utility>

#include "core/host_copy.hpp"
#include "kernels/rowwise/embedding.hpp"
#include "kernels/rowwise/rms_norm.hpp"

namespace m2 {
namespace {

// All buffers of one pass, in the order they are taken.
template <class T>
struct Buffers {
  PackedBatch batch;
  Activations<T> activations;

  Buffers(const ModelConfig& config, const ExpertParallel* parallel, std::int64_t num_tokens, Workspace& workspace)
      : batch(num_tokens, config.architecture.rotary_dim, workspace),
        activations(config, parallel, num_tokens, workspace) {}
};

}  // namespace

MiniMaxM2Model::MiniMaxM2Model(std::shared_ptr<const ModelConfig> config, std::shared_ptr<ExpertParallel> parallel)
    : config_(std::move(config)), parallel_(std::move(parallel)) {
  config_->architecture.validate("model configuration");
  config_->backend.validate();
  layers.reserve(config_->architecture.num_hidden_layers);
  for (int layer = 0; layer < config_->architecture.num_hidden_layers; ++layer) {
    layers.emplace_back(layer, config_, parallel_);
  }
}

template <class T>
View2D<const T> MiniMaxM2Model::forward(const ExecSpace& exec, const PackedTokens& tokens, KVCache& cache,
                                        Workspace& workspace, const HiddenObserver<T>& observer) const {
  const auto& [architecture, moe, backend, lora_rank] = *config_;
  Buffers<T> buffers(*config_, parallel_.get(), tokens.size(), workspace);
  buffers.batch.fill(exec, tokens, cache, architecture.rope_theta, backend.rope_tables == Precision::bfloat16);
  const View2D<T> hidden_TD = buffers.activations.out_TD;
  run<T>(exec, buffers.batch, cache, std::span(&buffers.activations, 1), workspace, hidden_TD, observer);
  return hidden_TD;
}

template <class T>
void MiniMaxM2Model::run(const ExecSpace& exec, const PackedBatch& batch, KVCache& cache,
                         std::span<const Activations<T>> buffers, Workspace& plans, View2D<T> out_TD,
                         const HiddenObserver<T>& observer) const {
  embedding<T>(exec, batch.token_T, embed_tokens, buffers.front().in_TD);
  for (int layer = 0; layer < std::ssize(layers); ++layer) {
    const Activations<T>& own = buffers.size() == 1 ? buffers.front() : buffers[layer];
    if (observer) observer(layer, own.in_TD);
    const Workspace::Frame frame(plans);  // nobody needs a layer's dispatch plan after the layer
    layers[layer].forward<T>(exec, batch, cache.layer<T>(layer), own);
  }
  rms_norm<T>(exec, buffers.back().out_TD, norm, float(config_->architecture.rms_norm_eps), config_->backend.rms_norm,
              out_TD);
  if (observer) observer(int(std::ssize(layers)), out_TD);
}

template <class T>
std::int64_t MiniMaxM2Model::workspace_bytes(std::int64_t num_tokens) const {
  Workspace counter;
  const Buffers<T> buffers(*config_, parallel_.get(), num_tokens, counter);
  take_largest_plan(config_->architecture, parallel_.get(), num_tokens, counter);
  return counter.peak_bytes();
}

void MiniMaxM2Model::count_expert_load(const ExecSpace& exec) {
  for (Block& block : layers) {
    block.mlp.load_E =
        View1D<std::int64_t>(Kokkos::view_alloc(exec, "m2::load_E"), config_->architecture.num_local_experts);
  }
}

std::vector<std::vector<std::int64_t>> MiniMaxM2Model::expert_load(const ExecSpace& exec) const {
  std::vector<std::vector<std::int64_t>> load;
  for (const Block& block : layers) {
    load.push_back(to_host(exec, block.mlp.load_E, "m2::expert_load: the host reads the counts"));
  }
  return load;
}

std::vector<Parameter> MiniMaxM2Model::parameters(const ParameterSchemas& schemas) {
  std::vector<Parameter> list{
      {.schema = schemas.at("embed_tokens"), .weight = &embed_tokens, .gradient = &grad.embed_tokens}};
  for (Block& block : layers) append(list, block.parameters(schemas));
  list.push_back({.schema = schemas.at("norm"), .vector = &norm, .gradient = &grad.norm});
  return list;
}

#define M2_INSTANTIATE_MODEL(T)                                                                                      \
  template View2D<const T> MiniMaxM2Model::forward(const ExecSpace&, const PackedTokens&, KVCache&, Workspace&,      \
                                                   const HiddenObserver<T>&) const;                                  \
  template void MiniMaxM2Model::run(const ExecSpace&, const PackedBatch&, KVCache&, std::span<const Activations<T>>, \
                                    Workspace&, View2D<T>, const HiddenObserver<T>&) const;                          \
  template std::int64_t MiniMaxM2Model::workspace_bytes<T>(std::int64_t) const
M2_INSTANTIATE_MODEL(float);
M2_INSTANTIATE_MODEL(Bf16);
#undef M2_INSTANTIATE_MODEL

}  // namespace m2
