// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

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

/// Chooses tokens. A choice depends on the logits, the history, the seed, the sequence's identity and the step alone:
/// not on threads, neighbours or earlier choices. Not for several threads at once.
class Sampler {
 public:
  /// `never_V` lists ids that are never chosen: rows of the vocabulary without a token.
  Sampler(const SamplingOptions& options, std::vector<int> never_V);

  /// The token that follows `history` (prompt and generated ids). Random numbers are Philox 4x32-10 of the key `seed`
  /// and the counter (identity, step). Throws Error when a logit is NaN or no token has a finite one.
  int sample(std::span<const float> logits_V, std::span<const int> history, std::uint64_t identity, std::uint64_t step);

 private:
  struct Candidate {
    float score;
    int token;
  };

  void load(std::span<const float> logits_V, std::span<const int> history);
  void scale(float largest);
  void keep_all();
  void keep_likeliest(std::size_t count);
  void keep_top_p();
  bool cut_to_top_p(double total);
  double total_weight() const;
  int draw(double uniform);

  SamplingOptions options_;
  std::vector<int> never_;
  // Kept between calls, to allocate once.
  std::vector<float> scores_;  // by token; from scale() on, the largest is 0
  std::vector<bool> penalised_;
  std::vector<float> selection_;
  std::vector<Candidate> candidates_;  // the likeliest first, of equals the lowest id; after keep_all() by id
};

}  // namespace m2
