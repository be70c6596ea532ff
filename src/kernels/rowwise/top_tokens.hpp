// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/views.hpp"

namespace m2 {

/// A token and its logit, or what the logit became since.
struct TokenScore {
  float score;
  int token;
};

/// Columns of the scratch array that top_tokens needs.
int top_tokens_scratch(int vocab_size);

/// The K largest logits of each row with their tokens: the largest first, of equals the lowest token first. Tokens
/// whose never_V is not 0 and logits of -infinity are left out; a row that has no more ends with (-infinity, -1). NaN
/// counts as +infinity: if the first score of a row is finite, no logit of its tokens is NaN or +infinity. Numbers are
/// compared only, so the result is exact. `scratch_BN` has top_tokens_scratch(V) columns; what was in it is lost.
/// Throws Error if the shapes disagree.
void top_tokens(const ExecSpace& exec, View2D<const float> logits_BV, View1D<const std::uint8_t> never_V,
                View2D<TokenScore> scratch_BN, View2D<TokenScore> top_BK);

}  // namespace m2
