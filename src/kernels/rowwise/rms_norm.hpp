// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/choices.hpp"
#include "core/views.hpp"

namespace m2 {

/// y = x / sqrt(mean(x^2) + eps) * weight for each row; float inside. `out` may be `x`.
/// Also the query and key norm, whose rows are whole flattened projections (Hugging Face `MiniMaxM2Attention.q_norm`).
/// Throws Error if the shapes disagree.
template <class T>
void rms_norm(const ExecSpace& exec, View2D<const T> x_TD, View1D<const float> weight_D, float eps, RmsNormOrder order,
              View2D<T> out_TD);

}  // namespace m2
