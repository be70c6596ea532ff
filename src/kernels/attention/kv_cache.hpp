// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

#include "core/views.hpp"

namespace m2 {

/// Cache positions in a page.
inline constexpr int kKvPage = 64;

/// Rotated keys and values of one layer, by physical page N and key/value head G. The positions of a page (P =
/// kKvPage) are the last axis of the keys and the first but one of the values: both products of attention then run
/// over contiguous memory, without a transpose.
template <class T>
struct KvPages {
  View4D<T> k_NGCP;
  View4D<T> v_NGPC;
};

/// Where the tokens of a batch live in the cache. Position s of the sequence in row b of the page table is at offset
/// s % kKvPage of physical page page_table_BN(b, s / kKvPage).
struct BatchLayout {
  View1D<const int> sequence_T;        ///< the token's row of the page table
  View1D<const int> cache_position_T;  ///< its position in that sequence's cache, counted from 0
  View2D<const int> page_table_BN;     ///< only entries up to a sequence's last position are read
};

/// Throws Error unless the shapes fit together; `operation` begins the message.
template <class T>
void require_cache(std::string_view operation, const KvPages<T>& cache);
void require_layout(std::string_view operation, const BatchLayout& layout, std::size_t num_tokens);

/// Stores key and value of each token (G heads x C, flattened to N) at its cache position. No two tokens share a
/// position. Throws Error if the shapes disagree. The entries of `layout` are the caller's promise.
template <class T>
void kv_write(const ExecSpace& exec, View2D<const T> k_TN, View2D<const T> v_TN, const BatchLayout& layout,
              const KvPages<T>& cache);

}  // namespace m2
