// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/views.hpp"
#include "kernels/weights/weight.hpp"

namespace m2 {

// Between float32 values (E, N, K), row after row, and a Weight of any dtype and layout: masters of training and the
// weight that the model computes with. Asynchronous, but for the exception below.

/// Overwrites `weight` with the values: float32 as they are, bfloat16 rounded to nearest even, FP8 as
/// quantize_fp8_blocks() does, values and scales, so that a block's scale follows its largest value. In rows or panels,
/// as the weight lies. FP8 waits for `exec` and throws Error when a block holds NaN or infinity; what the weight then
/// holds is undefined. Throws Error when the shapes differ.
void store_weight(const ExecSpace& exec, View3D<const float> values_ENK, const Weight& weight);

/// Overwrites the values with the weight's, exactly but for FP8's one rounding of value times scale. Throws Error when
/// the shapes differ.
void load_weight(const ExecSpace& exec, const Weight& weight, View3D<float> values_ENK);

}  // namespace m2
