// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/views.hpp"
#include "kernels/attention/kv_cache.hpp"

// What is behind attention_backward(), which checks shapes and takes the kernels made for this build. Tests compare
// them: they have the same chains of operations.

namespace m2 {

/// The arguments of attention_backward(), with delta in its scratch.
template <class T>
struct AttentionBackward {
  View2D<const T> q_TN;
  View4D<const T> k_NGCP, v_NGPC;
  BatchLayout layout;
  View1D<const int> sequence_begin_B1;
  float scale;
  View2D<const T> dout_TN;
  View2D<const float> lse_TH, delta_TH;
  View2D<T> dq_TN, dk_TM, dv_TM;

  KOKKOS_FUNCTION int num_tokens() const { return q_TN.extent_int(0); }
  KOKKOS_FUNCTION int num_heads() const { return lse_TH.extent_int(1); }
  KOKKOS_FUNCTION int num_kv_heads() const { return k_NGCP.extent_int(1); }
  KOKKOS_FUNCTION int head_size() const { return k_NGCP.extent_int(2); }
  KOKKOS_FUNCTION int group() const { return num_heads() / num_kv_heads(); }
  KOKKOS_FUNCTION int num_sequences() const { return sequence_begin_B1.extent_int(0) - 1; }
};

/// The largest i < count for which first_of(i), which never descends, is not above `value`; first_of(0) is not.
template <class FirstOf>
KOKKOS_INLINE_FUNCTION int find_range(int count, int value, const FirstOf& first_of) {
  int low = 0, end = count;
  while (end - low > 1) {
    const int middle = low + (end - low) / 2;
    if (first_of(middle) <= value) {
      low = middle;
    } else {
      end = middle;
    }
  }
  return low;
}

/// delta_TH = the sum of dout * out over the channels of a token's head, in row_sum()'s order.
template <class T>
void attention_delta(const ExecSpace& exec, View2D<const T> out_TN, View2D<const T> dout_TN, View2D<float> delta_TH);

/// Runs everywhere: one team per token and key/value head for dk and dv, one per token and query head for dq.
template <class T>
void attention_backward_portable(const ExecSpace& exec, const AttentionBackward<T>& arguments);

/// For builds whose ExecSpace is a host: a task is one page of a sequence's keys and a key/value head for dk and dv,
/// the tokens at one page of positions and a query head for dq. Scores are computed for either: 7 products instead of
/// 5, and many tasks even for a single sequence.
template <class T>
void attention_backward_host(const ExecSpace& exec, const AttentionBackward<T>& arguments);

}  // namespace m2
