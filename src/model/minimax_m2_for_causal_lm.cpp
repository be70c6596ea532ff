// SPDX-License-Identifier: Apache-2.0
#include "model/minimax_m2_for_causal_lm.hpp"

#include <algorithm>

#include "comm/one_rank.hpp"
#include "core/host_copy.hpp"
#include "core/operation_log.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/moe/permute.hpp"
#include "model/backend.hpp"

namespace m2 {
namespace {

// Nothing where all experts are here, unless backend.dispatcher asks for the exchange all the same.
std::shared_ptr<ExpertParallel> resolve_expert_parallel(const MiniMaxM2Config& config, const ModelOptions& options) {
  const std::shared_ptr<ExpertParallel>& parallel = options.expert_parallel;
  const bool alone = !parallel || parallel->group->size() == 1;
  M2_REQUIRE(alone || options.backend.dispatcher != DispatcherBackend::local,
             "backend.dispatcher: local needs all experts in one process, and they are split over {} ranks",
             parallel->group->size());
  if (!alone) return parallel;
  if (options.backend.dispatcher != DispatcherBackend::all_to_all) return nullptr;
  if (parallel) return parallel;
  return std::make_shared<ExpertParallel>(ExpertParallel{
      .group = one_rank(), .placement = ExpertPlacement::even(config.num_hidden_layers, config.num_local_experts, 1)});
}

}  // namespace

MiniMaxM2ForCausalLM::MiniMaxM2ForCausalLM(const MiniMaxM2Config& config, const ModelOptions& options)
    : model(config, options.backend, resolve_moe_config(config, options.moe_config, options.moe_overrides),
            resolve_expert_parallel(config, options)),
      config_(config),
      backend_(options.backend),
      dtype_(options.dtype.value_or(config.dtype)),
      exec_(options.exec) {
  M2_REQUIRE(dtype_ == DType::float32 || dtype_ == DType::bfloat16, "model dtype {} is not float32 or bfloat16",
             name(dtype_));
}

MiniMaxM2ForCausalLM MiniMaxM2ForCausalLM::from_config(const MiniMaxM2Config& config, const ModelOptions& options) {
  MiniMaxM2ForCausalLM model(config, options);
  model.initialize_weights(model.weight_dtype(), /*seed=*/0);
  return model;
}

View2D<const float> MiniMaxM2ForCausalLM::step(const PackedTokens& tokens, std::span<const int> logit_rows,
                                               KVCache& cache) {
  return dtype_ == DType::bfloat16 ? step_as<Bf16>(tokens, logit_rows, cache)
                                   : step_as<float>(tokens, logit_rows, cache);
}

template <class T>
View2D<const float> MiniMaxM2ForCausalLM::step_as(const PackedTokens& tokens, std::span<const int> logit_rows,
                                                  KVCache& cache) {
  const std::int64_t num_rows = std::ssize(logit_rows);
  grow_workspace(step_bytes<T>(tokens.size(), num_rows));
  const Workspace::Frame frame(workspace_);
  const View2D<float> logits_TV = workspace_.take<float>(num_rows, config_.vocab_size);
  const View1D<std::byte> gemm_workspace = workspace_.take<std::byte>(head_workspace_bytes<T>(num_rows));
  const View1D<int> row_T = copy_to_device(exec_, logit_rows, workspace_.take<int>(num_rows));
  const View2D<T> rows_TD = workspace_.take<T>(num_rows, config_.hidden_size);

  const View2D<const T> hidden_TD = model.forward<T>(exec_, tokens, cache, workspace_);
  const OperationPlace place("lm_head");
  gather_rows<T>(exec_, hidden_TD, row_T, rows_TD);
  gemm<T, float>(exec_, head_provider<T>(), rows_TD, lm_head, gemm_workspace, logits_TV);
  return logits_TV;
}

void MiniMaxM2ForCausalLM::reserve(std::int64_t max_tokens, std::int64_t max_logit_rows) {
  grow_workspace(workspace_bytes(max_tokens, max_logit_rows));
}

std::int64_t MiniMaxM2ForCausalLM::workspace_bytes(std::int64_t max_tokens, std::int64_t max_logit_rows) const {
  return dtype_ == DType::bfloat16 ? step_bytes<Bf16>(max_tokens, max_logit_rows)
                                   : step_bytes<float>(max_tokens, max_logit_rows);
}

template <class T>
std::int64_t MiniMaxM2ForCausalLM::step_bytes(std::int64_t num_tokens, std::int64_t num_logit_rows) const {
  Workspace counter;
  counter.take<float>(num_logit_rows, config_.vocab_size);
  counter.take<std::byte>(head_workspace_bytes<T>(num_logit_rows));
  counter.take<std::int64_t>(num_logit_rows);
  counter.take<T>(num_logit_rows, config_.hidden_size);
  return counter.peak_bytes() + model.workspace_bytes<T>(num_tokens);
}

template <class T>
std::int64_t MiniMaxM2ForCausalLM::head_workspace_bytes(std::int64_t num_rows) const {
  return gemm_workspace_bytes(head_provider<T>(), kDTypeOf<T>, lm_head.dtype(), int(num_rows), config_.vocab_size,
                              config_.hidden_size);
}

template <class T>
GemmProvider MiniMaxM2ForCausalLM::head_provider() const {
  return resolve_provider(backend_.linear, "linear", kDTypeOf<T>, lm_head.dtype());
}

void MiniMaxM2ForCausalLM::grow_workspace(std::int64_t bytes) {
  if (bytes > workspace_.capacity_bytes()) {
    workspace_ = Workspace();  // the old one goes first: both together may not fit
    workspace_ = Workspace(exec_, bytes);
  }
}

KVCache MiniMaxM2ForCausalLM::make_cache(int max_sequences, std::int64_t max_length) const {
  return KVCache(exec_, config_, dtype_, max_sequences * KVCache::pages_for(max_length), max_sequences, max_length);
}

template std::int64_t MiniMaxM2ForCausalLM::step_bytes<float>(std::int64_t, std::int64_t) const;
template std::int64_t MiniMaxM2ForCausalLM::step_bytes<Bf16>(std::int64_t, std::int64_t) const;
template std::int64_t MiniMaxM2ForCausalLM::head_workspace_bytes<float>(std::int64_t) const;
template std::int64_t MiniMaxM2ForCausalLM::head_workspace_bytes<Bf16>(std::int64_t) const;
template GemmProvider MiniMaxM2ForCausalLM::head_provider<float>() const;
template GemmProvider MiniMaxM2ForCausalLM::head_provider<Bf16>() const;

}  // namespace m2
