// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/views.hpp"
#include "kernels/attention/kv_cache.hpp"

namespace m2 {

/// Elements of the scratch of attention_backward().
std::int64_t attention_backward_scratch(std::int64_t num_tokens, std::int64_t num_heads);

/// Gradients of attention() from that of its output, for whole sequences: sequence b consists of the tokens
/// sequence_begin_B1(b) .. sequence_begin_B1(b + 1) - 1, the first element is 0 and the last one T; token
/// sequence_begin_B1(b) + p is at cache position p of its row of the page table. q, out, dout and dq are T x (H * C),
/// dk and dv, those of the keys and values as they lie in the cache, T x (G * C), lse_TH is attention()'s. With
/// P = exp(scale * q k^T - lse) where a token sees a position, else 0, and delta = the sum of dout * out of a row,
///   dS = P * (dout v^T - delta), dq = scale * dS k, dk = scale * dS^T q, dv = P^T dout
/// (Dao 2023, FlashAttention-2, algorithm 2), where dk and dv add up what the H / G query heads of their key/value head
/// contribute. scratch (attention_backward_scratch() elements), dq, dk and dv are overwritten.
///
/// Float inside, rounded once to T. Each element is one chain of fused operations from zero: of dq by positions
/// ascending; of dk and dv by tiles of kKvPage tokens of the sequence ascending, in a tile by query heads, in a head by
/// tokens. So a sequence's bits depend neither on its neighbours in the batch nor on threads. Throws Error if the
/// shapes disagree or the head size is above kMaxHeadSize. What `layout` and sequence_begin_B1 hold is the caller's
/// promise.
template <class T>
void attention_backward(const ExecSpace& exec, View2D<const T> q_TN, const KvPages<T>& cache, const BatchLayout& layout,
                        View1D<const int> sequence_begin_B1, float scale, View2D<const T> out_TN,
                        View2D<const T> dout_TN, View2D<const float> lse_TH, View1D<float> scratch, View2D<T> dq_TN,
                        View2D<T> dk_TM, View2D<T> dv_TM);

}  // namespace m2
