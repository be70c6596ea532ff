// SPDX-License-Identifier: Apache-2.0
// What the kernels report to the operation log, where it takes more than a line.
#pragma once

#include <cstdint>

#include "core/operation_log.hpp"
#include "core/views.hpp"
#include "kernels/kv_cache.hpp"
#include "kernels/weight.hpp"

namespace m2 {

/// Bytes of all elements.
template <class... Views>
std::int64_t bytes_of(const Views&... views) {
  return (std::int64_t{0} + ... + std::int64_t(views.size() * sizeof(typename Views::value_type)));
}

/// An operation that touches every element of these arrays once and computes `flop`.
template <class... Views>
OperationCost array_cost(std::int64_t flop, const Views&... views) {
  return {.bytes = bytes_of(views...), .flop = flop};
}

/// A matrix multiplication: activations, results, and `num_matrices` of the weight's matrices with their scales.
template <class X, class Y>
OperationCost gemm_cost(const X& x_RK, const Weight& w_ENK, std::int64_t num_matrices, const Y& y_RN) {
  const std::int64_t stack_bytes = w_ENK.bytes() + bytes_of(w_ENK.scale_inv());
  const std::int64_t matrix_bytes = w_ENK.num_matrices() == 0 ? 0 : stack_bytes / w_ENK.num_matrices();
  return {.bytes = bytes_of(x_RK, y_RN) + num_matrices * matrix_bytes,
          .flop = 2 * std::int64_t(x_RK.extent(0)) * w_ENK.num_rows() * w_ENK.num_columns()};
}

/// How many experts have rows: read on the host, so this waits for `exec`.
std::int64_t count_touched(const ExecSpace& exec, View1D<const int> offset_E1);

/// What attention's positions cost: keys and values of a sequence are read once, up to the last position that one of
/// its tokens sees. Waits for `exec`.
struct SeenPositions {
  std::int64_t by_tokens = 0;     ///< sum over the tokens
  std::int64_t by_sequences = 0;  ///< sum over the sequences
};
SeenPositions count_positions(const ExecSpace& exec, const BatchLayout& layout);

}  // namespace m2
