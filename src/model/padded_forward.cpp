// SPDX-License-Identifier: Apache-2.0
// MiniMaxM2ForCausalLM::forward: padded or packed ids in, logits of the kept positions out.
#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "core/host_copy.hpp"
#include "core/operation_log.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"
#include "model/packing.hpp"

namespace m2 {
namespace {

// Tokens of one pass inside forward(): bounds its buffers, and changes no bit of the result.
constexpr std::int64_t kForwardChunk = 2048;

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

// Tokens [begin, begin + count), with the rows of the cache in place of the sequences' numbers.
PackedTokens tokens_of_pass(const PackedTokens& tokens, std::int64_t begin, std::int64_t count,
                            const std::vector<int>& cache_sequences) {
  PackedTokens out;
  for (std::int64_t t = begin; t < begin + count; ++t) {
    out.add(tokens.token_T[t], tokens.position_T[t], cache_sequences[tokens.sequence_T[t]], tokens.cache_position_T[t],
            tokens.skip_experts_T[t] != 0);
  }
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
               "KV cache: no room for {} positions of sequence {}; {} of {} pages are free", length, call.sequences[b],
               call.cache->num_free_pages(), call.cache->num_pages());
  }
}

// Buffers of one pass beside the model's own, for T tokens.
template <class T>
struct ForwardBuffers {
  View1D<std::int64_t> source_T;
  HeadWorkspace<T> head;

  ForwardBuffers(const ModelConfig& config, std::int64_t num_tokens, Workspace& workspace)
      : source_T(workspace.take<std::int64_t>(num_tokens)), head(config, num_tokens, workspace) {}
};

template <class T>
std::int64_t forward_bytes(const MiniMaxM2Model& model, std::int64_t num_tokens) {
  Workspace counter;
  const ForwardBuffers<T> buffers(model.config(), num_tokens, counter);
  return counter.peak_bytes() + model.workspace_bytes<T>(num_tokens);
}

}  // namespace

CausalLMOutput MiniMaxM2ForCausalLM::forward(const InputIds& input_ids, const ForwardOptions& options) {
  return dtype_ == DType::bfloat16 ? forward_as<Bf16>(input_ids, options) : forward_as<float>(input_ids, options);
}

template <class T>
CausalLMOutput MiniMaxM2ForCausalLM::forward_as(const InputIds& input_ids, const ForwardOptions& options) {
  require_ready();
  CallCache call = open_cache(*this, input_ids, options);
  const PackedInput packed = pack_input(config(), input_ids, options, call.cached_B);
  const std::vector<int> positions = kept_positions(input_ids, options);
  reserve_positions(call, packed);
  const CausalLMOutput out = make_output(*this, input_ids, std::ssize(positions), options.output_hidden_states);

  // Each pass is collective where experts are split over ranks: as many as the rank with most tokens needs.
  const std::int64_t num_tokens = packed.tokens.size(), most_tokens = most_tokens_of_ranks(num_tokens);
  grow_workspace(forward_bytes<T>(model, std::min(most_tokens, kForwardChunk)));
  for (std::int64_t first = 0; first < most_tokens; first += kForwardChunk) {
    const std::int64_t begin = std::min(first, num_tokens), count = std::min(kForwardChunk, num_tokens - begin);
    const std::span<const std::int64_t> source = std::span(packed.source_T).subspan(begin, count);
    const Workspace::Frame frame(workspace_);
    const ForwardBuffers<T> buffers(model.config(), count, workspace_);
    const View1D<std::int64_t> source_T = copy_to_device(exec_, source, buffers.source_T);

    HiddenObserver<T> observer;
    if (options.output_hidden_states) {
      observer = [&](int index, View2D<const T> hidden_TD) {
        scatter_rows<T>(exec_, hidden_TD, source_T, out.hidden_states[index]);
      };
    }
    const View2D<const T> hidden_TD = model.forward<T>(
        exec_, tokens_of_pass(packed.tokens, begin, count, call.sequences), *call.cache, workspace_, observer);
    const OperationPlace place("lm_head");
    for (const Run& run : logit_runs(source, input_ids.length, positions)) {
      const std::int64_t width = config().vocab_size;
      const View2D<float> logits(out.logits_BNV.data() + run.logit_row * width, run.count, width);
      compute_logits<T>(slice(hidden_TD, run.token, run.token + run.count), buffers.head, logits);
    }
  }
  if (options.cache) {
    for (std::size_t b = 0; b < packed.length_B.size(); ++b) {
      options.cache->set_length(call.sequences[b], call.cached_B[b] + packed.length_B[b]);
    }
  }
  return out;
}

std::int64_t MiniMaxM2ForCausalLM::most_tokens_of_ranks(std::int64_t num_tokens) const {
  const std::shared_ptr<ExpertParallel>& parallel = model.expert_parallel();
  return parallel ? parallel->group->max_values(std::span(&num_tokens, 1))[0] : num_tokens;
}

}  // namespace m2
