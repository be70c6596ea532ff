// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/views.hpp"
#include "kernels/attention/kv_cache.hpp"

// The two kernels behind attention(), which checks shapes and takes the one made for this build. Tests compare them.
// lse_TH is written if it has elements.

namespace m2 {

/// Runs everywhere: one team per token and query head.
template <class T>
void attention_portable(const ExecSpace& exec, View2D<const T> q_TN, const KvPages<T>& cache, const BatchLayout& layout,
                        float scale, View2D<T> out_TN, View2D<float> lse_TH);

/// For builds whose ExecSpace is a host: one thread takes several tokens and all query heads that share a key/value
/// head, so that each page of the cache is read and expanded to float once for all of them.
template <class T>
void attention_host(const ExecSpace& exec, View2D<const T> q_TN, const KvPages<T>& cache, const BatchLayout& layout,
                    float scale, View2D<T> out_TN, View2D<float> lse_TH);

}  // namespace m2
