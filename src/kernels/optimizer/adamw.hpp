// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/views.hpp"
#include "kernels/weights/random_fill.hpp"

namespace m2 {

/// One step of one parameter.
struct AdamWStep {
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.0;
  double gradient_scale = 1.0;  ///< the gradient is multiplied by it: what clipping leaves
  std::int64_t step = 1;        ///< updates of the parameter with this one
  RandomStream rounding = {};   ///< of moments in bfloat16: the run's seed, the parameter's number below 2^31
};

/// torch.optim.AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", without amsgrad) in one pass over
/// flat arrays of one size, element by element, in torch's order of operations:
///   g = gradient_scale gradient;  p = p (1 - learning_rate weight_decay)
///   m = m + (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g g
///   p = p - learning_rate / (1 - beta1^step) m / (sqrt(v) / sqrt(1 - beta2^step) + eps)
/// Factors that elements share are computed in double and rounded to float32 once; elements are computed in float32,
/// each operation rounded. `master`, `m` and `v` are overwritten, `gradient` is read. Moments in bfloat16 (M) take part
/// in this step as they were computed and are rounded stochastically when they are stored (RoundingRandom in
/// moments.hpp): the next step's bits depend on seed, stream, step and index, not on threads. `lost`, if it is not
/// empty, becomes the number of elements of `master` that changed while their bfloat16 did not. Throws Error when the
/// sizes differ, for a step below 1, and for a `lost` of more than one element.
template <class M>
void adamw(const ExecSpace& exec, const AdamWStep& step, View1D<const float> gradient, View1D<float> master,
           View1D<M> m, View1D<M> v, View1D<std::int64_t> lost = {});

}  // namespace m2
