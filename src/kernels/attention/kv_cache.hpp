// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

#include "core/views.hpp"

namespace m2 {

/// Cache positions in a block.
inline constexpr int kKvBlock = 64;

/// Rotated keys and values of one layer, by physical block N and key/value head G. The positions of a block (P =
/// kKvBlock) are the last axis of the keys and the first but one of the values: both products of attention then run
/// over contiguous memory, without a transpose.
template <class T>
struct KvBlocks {
  View4D<T> k_NGCP;
  View4D<T> v_NGPC;
};

/// Where the tokens of a batch live in the cache. Position s of the sequence in row b of the block table is at offset
/// s % kKvBlock of physical block block_table_BN(b, s / kKvBlock).
struct BatchLayout {
  View1D<const int> sequence_T;        ///< the token's row of the block table
  View1D<const int> cache_position_T;  ///< its position in that sequence's cache, counted from 0
  View2D<const int> block_table_BN;    ///< only entries up to a sequence's last position are read
};

/// Throws Error unless the shapes fit together; `operation` begins the message.
template <class T>
void require_cache(std::string_view operation, const KvBlocks<T>& cache);
void require_layout(std::string_view operation, const BatchLayout& layout, std::size_t num_tokens);

/// Stores key and value of each token (G heads x C, flattened to N) at its cache position. No two tokens share a
/// position. Throws Error if the shapes disagree. The entries of `layout` are the caller's promise.
template <class T>
void kv_write(const ExecSpace& exec, View2D<const T> k_TN, View2D<const T> v_TN, const BatchLayout& layout,
              const KvBlocks<T>& cache);

}  // namespace m2
