// SPDX-License-Identifier: Apache-2.0
#include "model/minimax_m2_for_causal_lm.hpp"

#include <algorithm>
#include <cmath>

#include "comm/one_rank.hpp"
#include "core/operation_log.hpp"
#include "kernels/gemm.hpp"
#include "kernels/permute.hpp"
#include "model/backend.hpp"
#include "model/initialize.hpp"
#include "model/packing.hpp"

namespace m2 {
namespace {

// Tokens of one pass inside forward(): bounds its buffers, and changes no bit of the result.
constexpr std::int64_t kForwardChunk = 2048;

void require_embedding(const char* name, const Weight& weight, const MiniMaxM2Config& config) {
  M2_REQUIRE(weight.num_matrices() == 1 && weight.num_rows() == config.vocab_size &&
                 weight.num_columns() == config.hidden_size,
             "{}: found {} x {} x {}, expected 1 x {} x {}", name, weight.num_matrices(), weight.num_rows(),
             weight.num_columns(), config.vocab_size, config.hidden_size);
  M2_REQUIRE(weight.dtype() != DType::float8_e4m3fn, "{}: found float8_e4m3fn, expected float32 or bfloat16", name);
}

// out row[t] = x[t] as float. The rows of `out` are its first two axes taken together.
template <class T>
void scatter_rows(const ExecSpace& exec, View2D<const T> x_TD, View1D<const std::int64_t> row_T,
                  View3D<float> out_BSD) {
  const std::int64_t width = x_TD.extent(1);
  float* const out = out_BSD.data();
  Kokkos::parallel_for(
      "m2::scatter_rows",
      Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(exec, 0, x_TD.extent(0) * width),
      KOKKOS_LAMBDA(std::int64_t i) { out[row_T(i / width) * width + i % width] = float(x_TD(i / width, i % width)); });
}

PackedTokens slice(const PackedTokens& tokens, std::int64_t begin, std::int64_t count,
                   const std::vector<int>& cache_sequences) {
  PackedTokens out;
  for (std::int64_t t = begin; t < begin + count; ++t) {
    out.add(tokens.token_T[t], tokens.position_T[t], cache_sequences[tokens.sequence_T[t]], tokens.cache_position_T[t],
            tokens.skip_experts_T[t] != 0);
  }
  return out;
}

template <class T>
View1D<T> to_device(const ExecSpace& exec, std::span<const T> values, const View1D<T>& out) {
  Kokkos::deep_copy(
      exec, out,
      Kokkos::View<const T*, Kokkos::LayoutRight, HostSpace, Kokkos::MemoryUnmanaged>(values.data(), values.size()));
  return out;
}

// Tokens that follow one another both here and among the rows of the logits: one multiplication.
struct Run {
  std::int64_t token, logit_row, count;
};

std::vector<Run> logit_runs(std::span<const std::int64_t> source_T, std::int64_t length,
                            const std::vector<int>& positions) {
  std::vector<std::vector<std::int64_t>> places(length);  // of each position, among the kept ones
  for (std::size_t n = 0; n < positions.size(); ++n) places[positions[n]].push_back(std::int64_t(n));
  std::vector<Run> runs;
  for (std::size_t t = 0; t < source_T.size(); ++t) {
    const std::int64_t row = source_T[t] / length * std::ssize(positions);
    for (const std::int64_t place : places[source_T[t] % length]) {
      const bool goes_on = !runs.empty() && runs.back().token + runs.back().count == std::int64_t(t) &&
                           runs.back().logit_row + runs.back().count == row + place;
      if (goes_on) {
        ++runs.back().count;
      } else {
        runs.push_back({.token = std::int64_t(t), .logit_row = row + place, .count = 1});
      }
    }
  }
  return runs;
}

CausalLMOutput make_output(const MiniMaxM2ForCausalLM& model, const InputIds& input_ids, std::int64_t num_kept,
                           bool hidden_states) {
  const MiniMaxM2Config& config = model.config();
  CausalLMOutput out;
  out.logits_BNV = View3D<float>(Kokkos::view_alloc(model.exec(), "m2::logits_BNV"), input_ids.num_sequences, num_kept,
                                 config.vocab_size);
  for (int i = 0; hidden_states && i <= config.num_hidden_layers; ++i) {
    out.hidden_states.emplace_back(Kokkos::view_alloc(model.exec(), "m2::hidden_BSD"), input_ids.num_sequences,
                                   input_ids.length, config.hidden_size);
  }
  return out;
}

// The cache of one forward call: the caller's, or one that ends with the call.
struct CallCache {
  std::optional<KVCache> own;
  KVCache* cache = nullptr;
  std::vector<int> sequences;
  std::vector<std::int64_t> cached_B;
};

CallCache open_cache(const MiniMaxM2ForCausalLM& model, const InputIds& input_ids, const ForwardOptions& options) {
  CallCache call;
  const int count = num_sequences(input_ids, options);
  if (options.cache) {
    M2_REQUIRE(int(options.cache_sequences.size()) == count, "cache_sequences has {} entries, the batch {} sequences",
               options.cache_sequences.size(), count);
    call.cache = options.cache;
    call.sequences = options.cache_sequences;
    for (const int sequence : call.sequences) call.cached_B.push_back(options.cache->length(sequence));
    return call;
  }
  call.own.emplace(model.make_cache(std::max(count, 1), std::max(input_ids.length, 1)));
  call.cache = &*call.own;
  for (int b = 0; b < count; ++b) call.sequences.push_back(call.own->add_sequence());
  return call;
}

void reserve_positions(const CallCache& call, const PackedInput& packed) {
  for (std::size_t b = 0; b < packed.length_B.size(); ++b) {
    const std::int64_t length = packed.length_B[b] + (call.cached_B.empty() ? 0 : call.cached_B[b]);
    M2_REQUIRE(call.cache->reserve(call.sequences[b], length),
               "KV cache: no room for {} positions of sequence {}; {} of {} blocks are free", length, call.sequences[b],
               call.cache->num_free_blocks(), call.cache->num_blocks());
  }
}

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

CausalLMOutput MiniMaxM2ForCausalLM::forward(const InputIds& input_ids, const ForwardOptions& options) {
  return dtype_ == DType::bfloat16 ? forward_as<Bf16>(input_ids, options) : forward_as<float>(input_ids, options);
}

template <class T>
CausalLMOutput MiniMaxM2ForCausalLM::forward_as(const InputIds& input_ids, const ForwardOptions& options) {
  CallCache call = open_cache(*this, input_ids, options);
  const PackedInput packed = pack_input(config_, input_ids, options, call.cached_B);
  const std::vector<int> positions = kept_positions(input_ids, options);
  reserve_positions(call, packed);
  const CausalLMOutput out = make_output(*this, input_ids, std::ssize(positions), options.output_hidden_states);

  const std::int64_t num_tokens = packed.tokens.size(), num_passes = passes_for(num_tokens);
  for (std::int64_t pass = 0; pass < num_passes; ++pass) {
    const std::int64_t begin = std::min(pass * kForwardChunk, num_tokens);
    const std::int64_t count = std::min(kForwardChunk, num_tokens - begin);
    const std::span<const std::int64_t> source = std::span(packed.source_T).subspan(begin, count);
    grow_workspace(step_bytes<T>(count, count));
    const Workspace::Frame frame(workspace_);
    const View1D<std::int64_t> source_T = to_device(exec_, source, workspace_.take<std::int64_t>(count));
    const View1D<std::byte> gemm_workspace = workspace_.take<std::byte>(head_workspace_bytes<T>(count));

    HiddenObserver<T> observer;
    if (options.output_hidden_states) {
      observer = [&](int index, View2D<const T> hidden_TD) {
        scatter_rows<T>(exec_, hidden_TD, source_T, out.hidden_states[index]);
      };
    }
    const View2D<const T> hidden_TD =
        model.forward<T>(exec_, slice(packed.tokens, begin, count, call.sequences), *call.cache, workspace_, observer);
    const OperationPlace place("lm_head");
    for (const Run& run : logit_runs(source, input_ids.length, positions)) {
      const View2D<const T> rows(hidden_TD.data() + run.token * config_.hidden_size, run.count, config_.hidden_size);
      const View2D<float> logits(out.logits_BNV.data() + run.logit_row * config_.vocab_size, run.count,
                                 config_.vocab_size);
      gemm<T, float>(exec_, head_provider<T>(), rows, lm_head, gemm_workspace, logits);
    }
  }
  if (options.cache) {
    for (std::size_t b = 0; b < packed.length_B.size(); ++b) {
      options.cache->set_length(call.sequences[b], call.cached_B[b] + packed.length_B[b]);
    }
  }
  return out;
}

// As many as the rank with most tokens needs: each pass is collective where experts are split over ranks.
std::int64_t MiniMaxM2ForCausalLM::passes_for(std::int64_t num_tokens) const {
  const std::int64_t passes = (num_tokens + kForwardChunk - 1) / kForwardChunk;
  const std::shared_ptr<ExpertParallel>& parallel = model.expert_parallel();
  return parallel ? parallel->group->max_values(std::span(&passes, 1))[0] : passes;
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
  const View1D<int> row_T = to_device(exec_, logit_rows, workspace_.take<int>(num_rows));
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
  return KVCache(exec_, config_, dtype_, max_sequences * KVCache::blocks_for(max_length), max_sequences, max_length);
}

void MiniMaxM2ForCausalLM::set_input_embeddings(const Weight& weight) {
  require_embedding("set_input_embeddings", weight, config_);
  model.embed_tokens = weight;
}

void MiniMaxM2ForCausalLM::set_output_embeddings(const Weight& weight) {
  require_embedding("set_output_embeddings", weight, config_);
  lm_head = weight;
}

void MiniMaxM2ForCausalLM::initialize_weights(DType dtype, std::uint64_t seed) {
  M2_REQUIRE(dtype == DType::float32 || dtype == DType::bfloat16 || dtype == DType::float8_e4m3fn,
             "initialize_weights: dtype {} is not float32, bfloat16 or float8_e4m3fn", name(dtype));
  for (Parameter& parameter : parameters()) parameter.allocate(exec_, initial_dtype(parameter, dtype, dtype_));
  init_weights(seed);
  pack_weights();
}

void MiniMaxM2ForCausalLM::init_weights(std::uint64_t seed) {
  unpack_weights();
  model.init_weights(exec_, seed);
  const float deviation = 1.0f / std::sqrt(float(config_.hidden_size));
  fill_normal(exec_, seed, parameters().back(), {.mean = 0.0f, .deviation = deviation, .bound = 3 * deviation});
}

void MiniMaxM2ForCausalLM::pack_weights() {
  for (const Parameter& parameter : parameters()) {
    if (parameter.weight) parameter.weight->set_layout(exec_, parameter.layout(parameter.weight->dtype()));
  }
}

void MiniMaxM2ForCausalLM::unpack_weights() {
  for (const Parameter& parameter : parameters()) {
    if (parameter.weight) parameter.weight->set_layout(exec_, WeightLayout::rows);
  }
}

std::vector<Parameter> MiniMaxM2ForCausalLM::parameters() {
  std::vector<Parameter> list = model.parameters();
  list.push_back({.name = "lm_head", .shape = {config_.vocab_size, config_.hidden_size}, .weight = &lm_head});
  for (Parameter& parameter : list) {
    const LinearBackend choice = parameter.experts.empty() ? backend_.linear : backend_.experts;
    parameter.may_be_panels = parameter.weight && parameter.weight != &model.embed_tokens &&
                              dtype_ == DType::bfloat16 && provider_of(choice) == GemmProvider::kokkos;
  }
  return list;
}

}  // namespace m2
