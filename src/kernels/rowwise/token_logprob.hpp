// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/views.hpp"

namespace m2 {

/// logprob[t] = logits[t, target[t]] - max - log(sum(exp(logits[t] - max))), natural logarithm, in float.
/// Targets must be in [0, V): the caller checks them on the host. Throws Error if the shapes disagree.
void token_logprob(const ExecSpace& exec, View2D<const float> logits_TV, View1D<const int> target_T,
                   View1D<float> logprob_T);

}  // namespace m2
