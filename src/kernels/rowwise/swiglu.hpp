// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/views.hpp"

namespace m2 {

/// out = silu(gate) * up, with silu(z) = z / (1 + exp(-z)); gate is the first half of each row, up the second. A
/// row_weight multiplies the row (routing weight applied before the down projection, as in NeMo); an empty one (0
/// elements) is none. Float inside, rounded once. Throws Error if the shapes disagree.
template <class T>
void swiglu(const ExecSpace& exec, View2D<const T> gate_up_R2F, View1D<const float> row_weight_R, View2D<T> out_RF);

/// The gradients of swiglu from dout, the gradient of its result; every output is overwritten. With g = row_weight
/// dout:
///   dgate_up = (g up silu'(gate), g silu(gate)), silu'(z) = s + silu(z) (1 - s), s = sigmoid(z); may be `gate_up`;
///   activated = what swiglu gives, its bits: the down projection's gradient asks for it; may be `dout`;
///   drow_weight = sum over f of dout silu(gate) up; an empty one (0 elements) is not computed.
/// An empty row_weight is 1. Float inside, rounded once. Throws Error if the shapes disagree.
template <class T>
void swiglu_backward(const ExecSpace& exec, View2D<const T> gate_up_R2F, View1D<const float> row_weight_R,
                     View2D<const T> dout_RF, View2D<T> dgate_up_R2F, View2D<T> activated_RF,
                     View1D<float> drow_weight_R);

}  // namespace m2
