// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/views.hpp"

namespace m2 {

/// out = silu(gate) * up, with silu(z) = z / (1 + exp(-z)); gate is the first half of each row, up the second. A
/// row_weight multiplies the row (routing weight applied before the down projection, as in NeMo); an empty one (0
/// elements) is none. Float inside, rounded once. Throws Error if the shapes disagree.
template <class T>
void swiglu(const ExecSpace& exec, View2D<const T> gate_up_R2F, View1D<const float> row_weight_R, View2D<T> out_RF);

}  // namespace m2
