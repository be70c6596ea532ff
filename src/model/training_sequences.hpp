// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/no_label.hpp"

namespace m2 {

/// The sequences of one training pass, a micro-batch: their tokens in a row, without padding. They do not see one
/// another.
class TrainingSequences {
 public:
  /// Labels as in Hugging Face: as many as tokens, kNoLabel where a token is no target; shifted inside, so that the
  /// first one never counts. Throws Error when their numbers differ or there is no token.
  void add(std::span<const int> tokens, std::span<const int> labels);

  std::int64_t num_tokens() const { return std::int64_t(token_T.size()); }
  int num_sequences() const { return int(begin_B1.size()) - 1; }
  std::int64_t num_labels() const { return num_labels_; }

  std::vector<int> token_T;
  std::vector<int> target_T;     ///< what follows each token, or kNoLabel
  std::vector<int> begin_B1{0};  ///< the first token of each sequence; the last entry is the number of tokens

 private:
  std::int64_t num_labels_ = 0;
};

/// What a training pass says of its sequences.
struct TrainingLoss {
  double nll = 0.0;  ///< the sum of -ln p over the labels
  std::int64_t num_labels = 0;
  std::vector<float> logprob_T;  ///< ln p of what follows each token, with the bits of a score job; 0 without a label
};

}  // namespace m2
