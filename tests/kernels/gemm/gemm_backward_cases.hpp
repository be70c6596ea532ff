// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <vector>

#include "kernels/gemm/gemm_backward.hpp"
#include "kernels/gemm/gemm_cases.hpp"

namespace m2::test {

/// Calls visit(row, matrix) for every row of a grouped multiplication.
template <class Visit>
void for_rows(const GemmShape& shape, const Visit& visit) {
  for (int r = 0, e = 0; r < shape.num_rows; ++r) {
    while (e + 2 < int(shape.offsets.size()) && r >= shape.offsets[e + 1]) ++e;
    visit(r, e);
  }
}

inline int num_matrices(const GemmShape& shape) { return std::max<int>(1, int(shape.offsets.size()) - 1); }

/// What one chain of operations gives in float, and the same in double with the sum of the terms' magnitudes.
struct Chain {
  float value = 0.0f;
  double exact = 0.0, terms = 0.0;

  void add(float a, float b) {
    value = fused_multiply_add(a, b, value);
    exact += double(a) * double(b);
    terms += std::abs(double(a) * double(b));
  }
};

/// gemm_backward_input with inputs, oracle and FLOP.
template <class DY, class W, class DX>
struct BackwardInputOp {
  explicit BackwardInputOp(const GemmShape& size)
      : shape(size),
        dy(random_rows<DY>(0, size.num_rows, size.num_outputs, 1)),
        w(num_matrices(size), size, 2),
        dy_RN(to_device<DY>(std::span<const float>(dy), size.num_rows, size.num_outputs)),
        offset_E1(integers_to_device<int>(std::span<const int>(size.offsets))),
        dx_RK(filled<DX>(size.num_rows, size.num_columns, NAN)) {
    w.weight.set_layout(exec(), size.layout);
  }

  void run(const ExecSpace& on) const { gemm_backward_input<DY, DX>(on, dy_RN, w.weight, offset_E1, dx_RK); }
  std::vector<float> actual() const { return to_host(dx_RK); }

  /// visit(index in dx, chain). An FP8 value times its scale is rounded to float, the others are exact.
  template <class Visit>
  void for_outputs(const Visit& visit) const {
    const int outputs = shape.num_outputs, columns = shape.num_columns;
    for_rows(shape, [&](int r, int e) {
      std::vector<Chain> chain_K(columns);
      for (int n = 0; n < outputs; ++n) {
        const double* w_K = &w.exact[(std::int64_t(e) * outputs + n) * columns];
        for (int k = 0; k < columns; ++k) chain_K[k].add(dy[std::int64_t(r) * outputs + n], float(w_K[k]));
      }
      for (int k = 0; k < columns; ++k) visit(std::int64_t(r) * columns + k, chain_K[k]);
    });
  }

  double flop() const { return 2.0 * shape.num_rows * shape.num_outputs * shape.num_columns; }

  GemmShape shape;
  std::vector<float> dy;
  RandomWeight<W> w;
  View2D<DY> dy_RN;
  View1D<int> offset_E1;
  View2D<DX> dx_RK;
};

/// gemm_backward_weight, added to numbers that are there.
template <class DY, class X>
struct BackwardWeightOp {
  explicit BackwardWeightOp(const GemmShape& size)
      : shape(size),
        dy(random_rows<DY>(0, size.num_rows, size.num_outputs, 1)),
        x(random_rows<X>(0, size.num_rows, size.num_columns, 2)),
        before(random_rows<float>(0, num_matrices(size) * size.num_outputs, size.num_columns, 3)),
        dy_RN(to_device<DY>(std::span<const float>(dy), size.num_rows, size.num_outputs)),
        x_RK(to_device<X>(std::span<const float>(x), size.num_rows, size.num_columns)),
        offset_E1(integers_to_device<int>(std::span<const int>(size.offsets))),
        dw_ENK("test::dw", num_matrices(size), size.num_outputs, size.num_columns) {
    reset();
  }

  void reset() const { RandomWeight<float>::copy(before, View1D<float>(dw_ENK.data(), dw_ENK.size())); }
  void run(const ExecSpace& on) const { gemm_backward_weight<DY, X>(on, dy_RN, x_RK, offset_E1, dw_ENK); }
  std::vector<float> actual() const { return to_host(dw_ENK); }

  /// visit(index in dw, chain).
  template <class Visit>
  void for_outputs(const Visit& visit) const {
    const int outputs = shape.num_outputs, columns = shape.num_columns;
    std::vector<Chain> chain_ENK(before.size());
    for_rows(shape, [&](int r, int e) {
      for (int n = 0; n < outputs; ++n) {
        Chain* chain_K = &chain_ENK[(std::int64_t(e) * outputs + n) * columns];
        for (int k = 0; k < columns; ++k)
          chain_K[k].add(dy[std::int64_t(r) * outputs + n], x[std::int64_t(r) * columns + k]);
      }
    });
    for (std::size_t i = 0; i < before.size(); ++i) visit(i, chain_ENK[i]);
  }

  double flop() const { return 2.0 * shape.num_rows * shape.num_outputs * shape.num_columns; }

  GemmShape shape;
  std::vector<float> dy, x, before;
  View2D<DY> dy_RN;
  View2D<X> x_RK;
  View1D<int> offset_E1;
  View3D<float> dw_ENK;
};

}  // namespace m2::test
