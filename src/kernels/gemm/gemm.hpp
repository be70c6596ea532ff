// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/views.hpp"
#include "kernels/weights/weight.hpp"

namespace m2 {

/// Who multiplies. With each of them a row of the result has the same bits whatever other rows are in the batch. The
/// last two are part of a build where their libraries were found when it was configured.
enum class GemmProvider : std::uint8_t {
  /// Our own kernel: every combination of dtypes, FP8 expanded on the fly, no workspace. Allocates nothing and waits
  /// for
  /// nothing; on hosts it reads a group's offsets when it is called.
  kokkos,
  /// KokkosBlas::gemm on copies in float32: slower, an independent check on every backend. grouped_gemm waits for the
  /// instance, because the host reads the offsets.
  kokkos_kernels,
  /// oneDNN's matmul, on hosts: float x float32 with AVX-512, Bf16 x bfloat16 with its BF16. Waits for the instance,
  /// has
  /// multiplied when it returns, and keeps up to 1024 primitives (some 10 KB each) for as long as the program runs.
  onednn
};

/// "kokkos", "kokkos_kernels", "onednn".
std::string_view name(GemmProvider provider);

/// Whether this build's `provider` multiplies activations and weights of these dtypes on this processor.
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
