// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/views.hpp"
#include "kernels/weights/weight.hpp"

namespace m2 {

/// Who multiplies. With each of them a row of the result has the same bits whatever other rows are in the batch.
enum class GemmProvider : std::uint8_t {
  kokkos,          ///< our own kernel: every combination of dtypes, FP8 expanded on the fly, no workspace
  kokkos_kernels,  ///< KokkosBlas::gemm on copies in float32: slower, an independent check on every backend
  onednn           ///< oneDNN's matmul, on hosts: float x float32 with AVX-512, Bf16 x bfloat16 with its BF16
};

/// "kokkos", "kokkos_kernels", "onednn".
std::string_view name(GemmProvider provider);

/// Whether this build's `provider` multiplies activations and weights of these dtypes on this processor.
bool gemm_supports(GemmProvider provider, DType activation, DType weight);

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
