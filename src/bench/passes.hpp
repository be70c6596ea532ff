// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/result.hpp"
#include "comm/communicator.hpp"
#include "config/deck.hpp"
#include "infer/batch_sampler.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"

namespace m2 {

/// A random token, the same in every run.
int bench_token(int rank, int sequence, int position, int vocabulary);

/// The passes that a bench job measures: those of the generate job (paged cache, logits only where a token is sampled,
/// the likeliest token each time), over prompts of random tokens that are the same in every run. Every rank has
/// sequences of its own; the passes are collective where ranks share experts.
class BenchPasses {
 public:
  /// Reserves room in `cache`, which is empty, for bench.batch sequences. Throws Error when it has too little.
  BenchPasses(MiniMaxM2ForCausalLM& model, KVCache& cache, const BenchSection& settings, int rank);

  /// The positions each sequence fills, for the memory plan.
  static std::vector<std::int64_t> lengths(const BenchSection& settings);
  /// Tokens of the largest pass.
  static int max_pass_tokens(const BenchSection& settings);

  /// One prompt of bench.prompt_tokens in one pass, and its first token.
  void prefill();
  /// Reads bench.context tokens of each sequence, once and for all decode().
  void fill_context();
  /// `num_tokens` steps of all sequences from there, at most bench.generated_tokens; every call does the same.
  void decode(int num_tokens);

 private:
  int prompt_token(int sequence, int position) const;
  int read_prompt(int sequence, int begin, int count);
  std::vector<int> step(const PackedTokens& tokens, std::span<const int> rows);

  MiniMaxM2ForCausalLM& model_;
  KVCache& cache_;
  BenchSection settings_;
  int rank_;
  BatchSampler sampler_;
  std::vector<int> sequence_B_;    // rows of the cache
  std::vector<int> next_token_B_;  // after the context
};

/// Measures `work` on all ranks at once: bench.repeats times, and once more with every operation timed. `tokens` are
/// those of this rank. Throws Interrupted on all ranks when the job was asked to stop. Collective.
BenchPhase measure_phase(const std::string& name, std::int64_t tokens, const std::function<void()>& work, int repeats,
                         Communicator& world);

}  // namespace m2
