// SPDX-License-Identifier: Apache-2.0
#include "model/minimax_m2_for_causal_lm.hpp"

#include <algorithm>
#include <utility>

#include "comm/one_rank.hpp"
#include "core/host_copy.hpp"
#include "core/operation_log.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/moe/permute.hpp"

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

std::shared_ptr<ModelConfig> make_config(const MiniMaxM2Config& config, const ModelOptions& options) {
  return std::make_shared<ModelConfig>(
      ModelConfig{.architecture = config,
                  .moe = resolve_moe_config(config, options.moe_config, options.moe_overrides),
                  .backend = options.backend.resolved()});
}

// Buffers of a step's head, for N rows.
template <class T>
struct HeadBuffers {
  View2D<float> logits_NV;
  View1D<int> row_N;
  View2D<T> rows_ND;
  HeadWorkspace<T> workspace;

  HeadBuffers(const ModelConfig& config, std::int64_t num_rows, Workspace& memory)
      : logits_NV(memory.take<float>(num_rows, config.architecture.vocab_size)),
        row_N(memory.take<int>(num_rows)),
        rows_ND(memory.take<T>(num_rows, config.architecture.hidden_size)),
        workspace(config, num_rows, memory) {}
};

}  // namespace

MiniMaxM2ForCausalLM::MiniMaxM2ForCausalLM(const MiniMaxM2Config& config, const ModelOptions& options)
    : MiniMaxM2ForCausalLM(make_config(config, options), options) {}

MiniMaxM2ForCausalLM::MiniMaxM2ForCausalLM(std::shared_ptr<ModelConfig> config, const ModelOptions& options)
    : model(config, resolve_expert_parallel(config->architecture, options)),
      config_(std::move(config)),
      dtype_(options.dtype.value_or(config_->architecture.dtype)),
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
  require_ready();
  grow_workspace(step_bytes<T>(tokens.size(), std::ssize(logit_rows)));
  const Workspace::Frame frame(workspace_);
  const HeadBuffers<T> head(model.config(), std::ssize(logit_rows), workspace_);
  const View1D<int> row_N = copy_to_device(exec_, logit_rows, head.row_N);

  const View2D<const T> hidden_TD = model.forward<T>(exec_, tokens, cache, workspace_);
  const OperationPlace place("lm_head");
  gather_rows<T>(exec_, hidden_TD, row_N, head.rows_ND);
  compute_logits<T>(head.rows_ND, head.workspace, head.logits_NV);
  return head.logits_NV;
}

template <class T>
void MiniMaxM2ForCausalLM::compute_logits(View2D<const T> x_ND, const HeadWorkspace<T>& workspace,
                                          View2D<float> logits_NV) const {
  gemm<T, float>(exec_, backend().linear, x_ND, lm_head, workspace.gemm, logits_NV);
  low_rank_forward<T, float>(exec_, lm_head_lora, x_ND, /*offset_E1=*/{}, workspace.lora_hidden, logits_NV);
}

void MiniMaxM2ForCausalLM::reserve(std::int64_t max_tokens, std::int64_t max_logit_rows) {
  grow_workspace(workspace_bytes(max_tokens, max_logit_rows));
}

std::int64_t MiniMaxM2ForCausalLM::workspace_bytes(std::int64_t max_tokens, std::int64_t max_logit_rows) const {
  require_providers();
  return dtype_ == DType::bfloat16 ? step_bytes<Bf16>(max_tokens, max_logit_rows)
                                   : step_bytes<float>(max_tokens, max_logit_rows);
}

template <class T>
std::int64_t MiniMaxM2ForCausalLM::step_bytes(std::int64_t num_tokens, std::int64_t num_logit_rows) const {
  Workspace counter;
  const HeadBuffers<T> head(model.config(), num_logit_rows, counter);
  return counter.peak_bytes() + model.workspace_bytes<T>(num_tokens);
}

// Before the first pass: by now the weights have their dtypes.
void MiniMaxM2ForCausalLM::require_ready() const {
  if (workspace_.counts_only()) require_providers();
}

void MiniMaxM2ForCausalLM::grow_workspace(std::int64_t bytes) {
  if (bytes > workspace_.capacity_bytes()) {
    workspace_ = Workspace();  // the old one goes first: both together may not fit
    workspace_ = Workspace(exec_, bytes);
  }
}

template void MiniMaxM2ForCausalLM::compute_logits(View2D<const float>, const HeadWorkspace<float>&,
                                                   View2D<float>) const;
template void MiniMaxM2ForCausalLM::compute_logits(View2D<const Bf16>, const HeadWorkspace<Bf16>&, View2D<float>) const;

KVCache MiniMaxM2ForCausalLM::make_cache(int max_sequences, std::int64_t max_length) const {
  return KVCache(exec_, config(), dtype_, max_sequences * KVCache::pages_for(max_length), max_sequences, max_length);
}

}  // namespace m2
