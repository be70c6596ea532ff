// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/common/operation_cost.hpp"
#include "kernels/weights/weight.hpp"

namespace m2 {

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

}  // namespace m2
