// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/choices.hpp"
#include "core/views.hpp"
#include "kernels/weights/weight.hpp"

namespace m2 {

/// Whether this build's `provider` multiplies activations and weights of these dtypes on this processor. `automatic`
/// must have been resolved: it multiplies nothing.
bool gemm_supports(GemmProvider provider, DType activation, DType weight);

/// Why it does not, and the way out, to end a message with: "this build has no oneDNN; configure with it installed, or
/// choose auto". Empty where gemm_supports().
std::string_view gemm_refusal(GemmProvider provider, DType activation, DType weight);

/// Bytes of workspace that gemm and grouped_gemm need for up to `max_tokens` rows and (`num_rows`, `num_columns`)
/// weights.
std::int64_t gemm_workspace_bytes(GemmProvider provider, DType activation, DType weight, int max_tokens, int num_rows,
                                  int num_columns);

/// y = x w^T with products and sums in float32, rounded once to Out. `w_NK` holds one matrix; T in {float, Bf16}, Out
/// in {T, float}. Overwrites y, which may not alias x. Throws Error when shapes disagree, the workspace is too small or
/// the provider does not support the dtypes.
template <class T, class Out>
void gemm(const ExecSpace& exec, GemmProvider provider, View2D<const T> x_TK, const Weight& w_NK,
          View1D<std::byte> workspace, View2D<Out> y_TN);

}  // namespace m2
