// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/rowwise/top_tokens.hpp"

namespace m2 {

/// How a token is drawn. Applied in the order of Hugging Face's `generate`: repetition_penalty, temperature, top_k,
/// top_p, min_p.
struct SamplingOptions {
  double temperature = 0.0;         ///< 0: the likeliest token, of equals the lowest id
  int top_k = 0;                    ///< the k likeliest tokens, and those as likely as the k-th; 0: all
  double top_p = 1.0;               ///< the fewest likeliest tokens that together have at least this probability
  double min_p = 0.0;               ///< tokens at least this times as probable as the likeliest one
  double repetition_penalty = 1.0;  ///< divides positive logits of tokens seen before, multiplies negative ones
  std::uint64_t seed = 0;
};

/// The largest top_k for which the likeliest tokens are looked for where the logits are. Each of them costs two scans
/// of some thousand logits, one after the other: from about this number on, all logits are as quick.
inline constexpr int kMaxDeviceTopK = 128;

/// Chooses tokens. A choice depends on the logits, the history, the seed, the sequence's identity and the step alone:
/// not on threads, neighbours or earlier choices. Not for several threads at once.
class Sampler {
 public:
  /// `never_V` lists ids that are never chosen: rows of the vocabulary without a token.
  Sampler(const SamplingOptions& options, std::vector<int> never_V);

  /// The token that follows `history` (prompt and generated ids). Random numbers are Philox 4x32-10 of the key `seed`
  /// and the counter (identity, step). Throws Error when a logit is NaN or no token has a finite one.
  int sample(std::span<const float> logits_V, std::span<const int> history, std::uint64_t identity, std::uint64_t step);

  /// How many of the likeliest tokens choose() takes: 1 for the likeliest token, top_k + 1 for top_k. 0 where only
  /// sample() chooses: a repetition penalty, a top_k above kMaxDeviceTopK, and drawing from the whole vocabulary.
  int num_likeliest(int vocab_size) const;

  /// The token that sample() chooses, from what top_tokens finds. Nothing where sample() must look at all logits: more
  /// tokens may be as likely as the top_k-th, or the largest logit is not finite.
  std::optional<int> choose(std::span<const TokenScore> likeliest, std::uint64_t identity, std::uint64_t step);

 private:
  void load(std::span<const float> logits_V, std::span<const int> history);
  bool limits_k(std::size_t vocab_size) const;
  float temperature() const;
  void keep_all();
  void keep_likeliest(std::size_t count);
  bool keep_top_k(std::span<const TokenScore> likeliest);
  void sort_candidates();
  void keep_top_p();
  bool cut_to_top_p(double total);
  double total_weight() const;
  int draw(std::uint64_t identity, std::uint64_t step);

  SamplingOptions options_;
  std::vector<int> never_;
  // Kept between calls, to allocate once. Scores are divided by the temperature, and the largest is 0.
  std::vector<float> scores_;  // by token
  std::vector<bool> penalised_;
  std::vector<float> selection_;
  std::vector<TokenScore> candidates_;  // the likeliest first, of equals the lowest id; after keep_all() by id
};

}  // namespace m2
