// SPDX-License-Identifier: Apache-2.0
#include "model/training_sequences.hpp"

#include "core/error.hpp"

namespace m2 {

void TrainingSequences::add(std::span<const int> tokens, std::span<const int> labels) {
  M2_REQUIRE(!tokens.empty() && tokens.size() == labels.size(),
             "training sequence {}: {} tokens and {} labels, expected as many labels as tokens and at least one",
             num_sequences(), tokens.size(), labels.size());
  token_T.insert(token_T.end(), tokens.begin(), tokens.end());
  target_T.insert(target_T.end(), labels.begin() + 1, labels.end());
  target_T.push_back(kNoLabel);
  begin_B1.push_back(int(token_T.size()));
  for (const int label : labels.subspan(1)) num_labels_ += label != kNoLabel;
}

}  // namespace m2
