// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/choices.hpp"
#include "core/views.hpp"

namespace m2 {

/// y = x / sqrt(mean(x^2) + eps) * weight for each row; float inside. `out` may be `x`.
/// Also the query and key norm, whose rows are whole flattened projections (Hugging Face `MiniMaxM2Attention.q_norm`).
/// Throws Error if the shapes disagree.
template <class T>
void rms_norm(const ExecSpace& exec, View2D<const T> x_TD, View1D<const float> weight_D, float eps, RmsNormOrder order,
              View2D<T> out_TD);

/// Elements of rms_norm_backward's scratch where it computes dweight.
std::int64_t rms_norm_backward_scratch(std::int64_t num_rows, std::int64_t width);

/// The gradients of rms_norm from dout, the gradient of its result. With r = 1 / sqrt(mean(x^2) + eps):
///   dx = r (weight dout - x r^2 mean(x weight dout)), overwritten; may be `dout`;
///   dweight += sum over rows of dout x r: rows ascend in blocks of 64, then blocks, whatever the number of threads.
/// An empty dweight (0 elements) is not computed and needs no scratch. The rounding that RmsNormOrder chooses counts as
/// the identity. Float inside, dx rounded once. Throws Error if the shapes disagree or the scratch is too small.
template <class T>
void rms_norm_backward(const ExecSpace& exec, View2D<const T> x_TD, View1D<const float> weight_D, float eps,
                       View2D<const T> dout_TD, View1D<float> scratch, View2D<T> dx_TD, View1D<float> dweight_D);

}  // namespace m2
