// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/views.hpp"
#include "kernels/weights/weight.hpp"

namespace m2 {

// The gradients of y = x w^T (gemm.hpp, grouped_gemm.hpp): dx = dy w and dw = dy^T x. `offset_E1` is grouped_gemm's:
// the rows of matrix e are [offset[e], offset[e+1]), ascending from 0 to R; empty where there is one matrix and all
// rows are its own. An output's bits depend on its own terms alone: not on the other rows, experts, threads or the
// layout of the weight; and they are the same on every processor with a fused multiply-add.

/// dx[r] = dy[r] w[e]: each output is one chain of fused multiply-adds in float32 over ascending N, rounded once to DX.
/// The weight is float32, bfloat16 or FP8, in rows or in panels; an FP8 value is multiplied by its block's scale first,
/// rounded once to float32. (DY, DX) is (float, float), (Bf16, Bf16) or (float, Bf16). Overwrites dx, which may not
/// alias dy; allocates nothing. Throws Error when shapes disagree.
template <class DY, class DX>
void gemm_backward_input(const ExecSpace& exec, View2D<const DY> dy_RN, const Weight& w_ENK,
                         View1D<const int> offset_E1, View2D<DX> dx_RK);

/// dw[e] += dy[rows of e]^T x[rows of e]: what is added to each element once is one chain of fused multiply-adds in
/// float32 over ascending rows, begun at 0. Experts without rows are left as they are. (DY, X) is (float, float),
/// (Bf16, Bf16) or (float, Bf16). Allocates nothing. Throws Error when shapes disagree.
template <class DY, class X>
void gemm_backward_weight(const ExecSpace& exec, View2D<const DY> dy_RN, View2D<const X> x_RK,
                          View1D<const int> offset_E1, View3D<float> dw_ENK);

}  // namespace m2
