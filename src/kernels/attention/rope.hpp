// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/views.hpp"

namespace m2 {

/// cos and sin of position * theta^(-2j / rotary_dim), j < J = rotary_dim / 2, computed in double and rounded to float;
/// with `round_to_bf16` to bfloat16 on top, as the peers do for bfloat16 activations.
/// Throws Error if rotary_dim is odd, or the tables are not T x J.
void rope_table(const ExecSpace& exec, View1D<const int> position_T, int rotary_dim, double theta, bool round_to_bf16,
                View2D<float> cos_TJ, View2D<float> sin_TJ);

/// The gradient's rotation is the forward's by the opposite angle.
enum class RopeDirection { forward, backward };

/// Rotates, in place, the pairs (j, j + J) of each head: (a, b) -> (a cos - b sin, b cos + a sin); dims from 2 J on
/// stay. N = heads * head_size. `backward` turns sin's sign: the gradient of the rotated x becomes that of x.
/// Float inside, rounded once; with `in_storage_dtype` each product is rounded to T as well, as Hugging Face and NeMo
/// do. Throws Error if the shapes disagree or 2 J > head_size.
template <class T>
void rope(const ExecSpace& exec, View2D<const float> cos_TJ, View2D<const float> sin_TJ, int head_size,
          bool in_storage_dtype, RopeDirection direction, View2D<T> x_TN);

}  // namespace m2
