// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/views.hpp"
#include "kernels/attention/kv_cache.hpp"

namespace m2 {

/// Largest head size of the attention kernels.
inline constexpr int kMaxHeadSize = 256;

/// Causal attention over the cache: for token t and query head h, out = softmax(scale * q k^T) v over the cache
/// positions 0 .. cache_position[t] of its sequence, key/value head h / (H / G). q and out are T x (H * C); the cache
/// is only read. Float inside; the softmax runs online over pages of kKvPage absolute positions, so a token's bits
/// don't depend on its neighbours. If lse_TH has elements, it is overwritten by the natural logarithm of the sum of
/// exp(scale * q k), which attention_backward() needs; the bits of out do not depend on it.
/// Throws Error if the shapes disagree or the head size is above kMaxHeadSize.
template <class T>
void attention(const ExecSpace& exec, View2D<const T> q_TN, const KvPages<T>& cache, const BatchLayout& layout,
               float scale, View2D<T> out_TN, View2D<float> lse_TH = {});

}  // namespace m2
