// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "core/views.hpp"

namespace m2 {

/// scale_inv of a block whose largest magnitude is `largest`: largest / 448, 1 for a block of zeros. Never below the
/// smallest normal number, where the quotient w / scale_inv would lose its last digits and could pass 448.
KOKKOS_INLINE_FUNCTION float fp8_scale_inv(float largest) {
  constexpr float kLargestFp8 = 448.0f, kSmallestNormal = 0x1p-126f;
  return largest == 0.0f ? 1.0f : Kokkos::max(largest / kLargestFp8, kSmallestNormal);
}

// Conversions of weights on the host, for checkpoints that are converted band by band. Each call uses all threads of
// `exec` and returns when the result is there.

/// out[i, j] = float(q[i, j]) * scale_inv[i / 128, j / 128] for a band of `num_rows` rows that starts on a block
/// boundary. Exact but for the one rounding of the product. Throws Error when a span's size does not fit.
void expand_fp8_blocks(const HostExecSpace& exec, std::span<const Fp8E4M3> q_NK, std::span<const float> scale_inv,
                       int num_rows, int num_columns, std::span<float> out_NK);

/// The inverse, rounding to nearest even: scale_inv = max|block| / 448 (1 for a block of zeros), q = w / scale_inv. The
/// convention of DeepSeek-V3, which the released checkpoints follow. Throws Error when a span's size does not fit or a
/// value is not finite, naming its block.
void quantize_fp8_blocks(const HostExecSpace& exec, std::span<const float> w_NK, int num_rows, int num_columns,
                         std::span<Fp8E4M3> q_NK, std::span<float> scale_inv);

/// out[i] = To(in[i]), rounding to nearest even; From and To are float and Bf16. Throws Error when the sizes differ.
template <class From, class To>
void convert_values(const HostExecSpace& exec, std::span<const From> in, std::span<To> out);

}  // namespace m2
