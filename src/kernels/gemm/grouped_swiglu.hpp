// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/views.hpp"
#include "kernels/weights/weight.hpp"

namespace m2 {

/// The first half of an expert in one pass: out[r] = silu(x[r] gate^T) * (x[r] up^T) [* row_weight[r], if it has
/// elements] for the rows r = offset[e] .. offset[e+1) of each expert e, whose gate lies over its up in `gate_up_L2FD`.
/// Products stay in float32 up to `out`, where grouped_gemm and swiglu round them in between. A `gate_up_R2F` that has
/// elements receives the products with the bits of grouped_gemm, for a backward pass; with an `addend_R2F`, what a
/// low-rank adapter adds to the products in float32, it receives the sums, and may be the addend's own memory. For
/// weights in panels only; no workspace. Overwrites out, which may not alias x. Throws Error when shapes disagree or
/// the weight lies in rows.
void grouped_swiglu(const ExecSpace& exec, View2D<const Bf16> x_RD, const Weight& gate_up_L2FD,
                    View1D<const int> offset_L1, View1D<const float> row_weight_R, View2D<Bf16> out_RF,
                    View2D<Bf16> gate_up_R2F = {}, View2D<const Bf16> addend_R2F = {});

}  // namespace m2
