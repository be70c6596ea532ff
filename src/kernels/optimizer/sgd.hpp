// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/views.hpp"
#include "kernels/weights/random_fill.hpp"

namespace m2 {

/// One step of one parameter.
struct SgdStep {
  double learning_rate = 1e-3;
  double momentum = 0.9;
  double weight_decay = 0.0;
  double gradient_scale = 1.0;  ///< the gradient is multiplied by it: what clipping leaves
  std::int64_t step = 1;        ///< updates of the parameter with this one
  RandomStream rounding = {};   ///< of a momentum in bfloat16: the run's seed, the parameter's number below 2^31
};

/// torch.optim.SGD with momentum, dampening 0, not Nesterov's, but for weight decay, which is decoupled as AdamW's
/// (torch adds it to the gradient): one pass over flat arrays of one size, element by element,
///   g = gradient_scale gradient;  p = p (1 - learning_rate weight_decay)
///   b = momentum b + g;  p = p - learning_rate b
/// in float32, each operation rounded. `master` and `momentum` (b; zeros before the first step) are overwritten,
/// `gradient` is read. Bfloat16 (M), `lost` and errors are as in adamw().
template <class M>
void sgd(const ExecSpace& exec, const SgdStep& step, View1D<const float> gradient, View1D<float> master,
         View1D<M> momentum, View1D<std::int64_t> lost = {});

}  // namespace m2
