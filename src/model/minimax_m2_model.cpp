// SPDX-License-Identifier: Apache-2.0
#include "model/minimax_m2_model.hpp"

#include <algorithm>
#include <utility>

#include "core/host_copy.hpp"
#include "kernels/rowwise/embedding.hpp"
#include "kernels/rowwise/rms_norm.hpp"
#include "model/backend.hpp"
#include "model/initialize.hpp"

namespace m2 {
namespace {

// All buffers of one pass, in the order they are taken.
template <class T>
struct Buffers {
  PackedBatch batch;
  Activations<T> activations;

  Buffers(const MiniMaxM2Config& config, const ExpertParallel* parallel, std::int64_t num_tokens,
          std::int64_t gemm_bytes, Workspace& workspace)
      : batch(num_tokens, config.rotary_dim, workspace),
        activations(config, parallel, num_tokens, gemm_bytes, workspace) {}
};

}  // namespace

MiniMaxM2Model::MiniMaxM2Model(const MiniMaxM2Config& config, const BackendConfig& backend, const MoEConfig& moe,
                               std::shared_ptr<ExpertParallel> parallel)
    : config_(config), backend_(backend), parallel_(std::move(parallel)) {
  config.validate("model configuration");
  backend.validate();
  layers.reserve(config.num_hidden_layers);
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) {
    layers.emplace_back(layer, config, moe, backend, parallel_);
  }
}

template <class T>
View2D<const T> MiniMaxM2Model::forward(const ExecSpace& exec, const PackedTokens& tokens, KVCache& cache,
                                        Workspace& workspace, const HiddenObserver<T>& observer) const {
  Buffers<T> buffers(config_, parallel_.get(), tokens.size(), gemm_workspace_bytes<T>(tokens.size()), workspace);
  buffers.batch.fill(exec, tokens, cache, config_.rope_theta, backend_.rope_tables == Precision::bfloat16);
  const View2D<T> hidden_TD = buffers.activations.hidden_TD;

  embedding<T>(exec, buffers.batch.token_T, embed_tokens, hidden_TD);
  for (int layer = 0; layer < config_.num_hidden_layers; ++layer) {
    if (observer) observer(layer, hidden_TD);
    layers[layer].forward<T>(exec, buffers.batch, cache.layer<T>(layer), buffers.activations);
  }
  rms_norm<T>(exec, hidden_TD, norm, float(config_.rms_norm_eps), rms_norm_order(backend_), hidden_TD);
  if (observer) observer(config_.num_hidden_layers, hidden_TD);
  return hidden_TD;
}

template <class T>
std::int64_t MiniMaxM2Model::workspace_bytes(std::int64_t num_tokens) const {
  Workspace counter;
  Buffers<T>(config_, parallel_.get(), num_tokens, gemm_workspace_bytes<T>(num_tokens), counter);
  return counter.peak_bytes();
}

template <class T>
std::int64_t MiniMaxM2Model::gemm_workspace_bytes(std::int64_t num_tokens) const {
  std::int64_t bytes = 0;
  const std::int64_t top_k = config_.num_experts_per_tok;
  const std::int64_t routed_rows = parallel_ ? parallel_->max_pairs(int(top_k)) : num_tokens * top_k;
  const auto consider = [&](LinearBackend choice, const char* key, const Weight& weight, std::int64_t num_rows) {
    const GemmProvider provider = resolve_provider(choice, key, kDTypeOf<T>, weight.dtype());
    bytes = std::max(bytes, m2::gemm_workspace_bytes(provider, kDTypeOf<T>, weight.dtype(), int(num_rows),
                                                     weight.num_rows(), weight.num_columns()));
  };
  for (const Block& block : layers) {
    const MiniMaxM2Attention& attention = block.self_attn;
    for (const Weight* weight : {&attention.q_proj, &attention.k_proj, &attention.v_proj, &attention.o_proj}) {
      consider(backend_.linear, "linear", *weight, num_tokens);
    }
    consider(LinearBackend::kokkos, "linear", block.mlp.gate.weight, num_tokens);
    for (const Weight* weight : {&block.mlp.experts.gate_up, &block.mlp.experts.down}) {
      consider(backend_.experts, "experts", *weight, routed_rows);
    }
  }
  return bytes;
}

void MiniMaxM2Model::init_weights(const ExecSpace& exec, std::uint64_t seed) {
  const Parameter embedding = parameters().front();
  fill_normal(exec, seed, embedding, {.mean = 0.0f, .deviation = 1.0f});
  Kokkos::deep_copy(exec, norm, 1.0f);
  for (Block& block : layers) block.init_weights(exec, seed);
}

void MiniMaxM2Model::count_expert_load(const ExecSpace& exec) {
  for (Block& block : layers) {
    block.mlp.load_E = View1D<std::int64_t>(Kokkos::view_alloc(exec, "m2::load_E"), config_.num_local_experts);
  }
}

std::vector<std::vector<std::int64_t>> MiniMaxM2Model::expert_load(const ExecSpace& exec) const {
  std::vector<std::vector<std::int64_t>> load;
  for (const Block& block : layers) {
    load.push_back(to_host(exec, block.mlp.load_E, "m2::expert_load: the host reads the counts"));
  }
  return load;
}

std::vector<Parameter> MiniMaxM2Model::parameters() {
  std::vector<Parameter> list{
      {.name = "embed_tokens", .shape = {config_.vocab_size, config_.hidden_size}, .weight = &embed_tokens},
      {.name = "norm", .shape = {config_.hidden_size}, .vector = &norm}};
  for (Block& block : layers) {
    for (Parameter& parameter : block.parameters()) list.push_back(std::move(parameter));
  }
  return list;
}

template View2D<const float> MiniMaxM2Model::forward<float>(const ExecSpace&, const PackedTokens&, KVCache&, Workspace&,
                                                            const HiddenObserver<float>&) const;
template View2D<const Bf16> MiniMaxM2Model::forward<Bf16>(const ExecSpace&, const PackedTokens&, KVCache&, Workspace&,
                                                          const HiddenObserver<Bf16>&) const;
template std::int64_t MiniMaxM2Model::workspace_bytes<float>(std::int64_t) const;
template std::int64_t MiniMaxM2Model::workspace_bytes<Bf16>(std::int64_t) const;

}  // namespace m2
