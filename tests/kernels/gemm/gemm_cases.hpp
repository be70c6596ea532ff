// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "kernels/common/simd.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/gemm/grouped_gemm.hpp"
#include "kernels/operation.hpp"
#include "support/exec.hpp"

namespace m2::test {

/// Sizes of a grouped multiplication; without `offsets` it is one gemm; and how its weight lies in memory.
/// `num_row_parts` is that of Weight::allocate.
struct GemmShape {
  int num_rows, num_outputs, num_columns;
  int num_row_parts = 1;
  std::vector<int> offsets = {};
  WeightLayout layout = WeightLayout::rows;
};

inline GemmShape in_panels(GemmShape shape) {
  shape.layout = WeightLayout::panels;
  return shape;
}

/// A weight of random numbers, and what they are exactly, (E, N, K).
template <class W>
struct RandomWeight {
  RandomWeight(int num_matrices, const GemmShape& shape, std::uint64_t seed)
      : weight(Weight::allocate(exec(), kDTypeOf<W>, num_matrices, shape.num_outputs, shape.num_columns, "test::weight",
                                shape.num_row_parts)) {
    constexpr bool kIsFp8 = std::is_same_v<W, Fp8E4M3>;
    const std::int64_t count = std::int64_t(num_matrices) * shape.num_outputs * shape.num_columns;
    const auto values =
        rounded<W>(normal(count, seed, kIsFp8 ? 40.0f : 1.0f));  // beyond 5 deviations FP8 has no numbers
    copy(values, View1D<W>(weight.values<W>().data(), count));
    exact.assign(values.begin(), values.end());
    if (!kIsFp8) return;
    auto scales = normal(weight.scale_inv().size(), seed + 1, 0.01f);
    for (float& scale : scales) scale = 0.005f + std::abs(scale);
    copy(scales, View1D<float>(weight.scale_inv().data(), scales.size()));
    const int part = shape.num_outputs / shape.num_row_parts, scale_columns = weight.scale_inv().extent_int(2);
    for (std::int64_t i = 0; i < count; ++i) {
      const int k = int(i % shape.num_columns), n = int(i / shape.num_columns % shape.num_outputs);
      const std::int64_t e = i / shape.num_columns / shape.num_outputs;
      const int scale_row = n / part * ((part + kFp8Block - 1) / kFp8Block) + n % part / kFp8Block;
      exact[i] *= double(scales[(e * weight.scale_inv().extent_int(1) + scale_row) * scale_columns + k / kFp8Block]);
    }
  }

  template <class V>
  static void copy(const std::vector<float>& values, View1D<V> to) {
    Kokkos::deep_copy(exec(), to, to_device<V>(std::span<const float>(values)));
    exec().fence("test::weight");
  }

  Weight weight;
  std::vector<double> exact;
};

/// One multiplication with inputs, oracle, tolerance, bytes and FLOP; gemm and grouped_gemm alike.
template <class T, class W, class Out>
struct GemmOp {
  GemmOp(GemmProvider by, const GemmShape& size)
      : provider(by),
        shape(size),
        num_matrices(std::max<int>(1, int(size.offsets.size()) - 1)),
        x(random_rows<T>(0, size.num_rows, size.num_columns, 1)),
        w(num_matrices, size, 2),
        x_RK(to_device<T>(std::span<const float>(x), size.num_rows, size.num_columns)),
        offset_E1(integers_to_device<int>(std::span<const int>(size.offsets))),
        workspace("test::workspace", workspace_bytes(size.num_rows)),
        y_RN(filled<Out>(size.num_rows, size.num_outputs, NAN)) {
    Kokkos::deep_copy(View1D<float>(reinterpret_cast<float*>(workspace.data()), workspace.size() / sizeof(float)), NAN);
    w.weight.set_layout(exec(), size.layout);
  }

  std::int64_t workspace_bytes(int num_rows) const {
    return gemm_workspace_bytes(provider, kDTypeOf<T>, kDTypeOf<W>, num_rows, shape.num_outputs, shape.num_columns);
  }
  void run(const ExecSpace& on) const { run(on, x_RK, y_RN); }
  void run(const ExecSpace& on, View2D<const T> rows, View2D<Out> out) const {
    if (shape.offsets.empty()) {
      gemm<T, Out>(on, provider, rows, w.weight, workspace, out);
    } else {
      grouped_gemm<T, Out>(on, provider, rows, w.weight, offset_E1, workspace, out);
    }
  }
  /// What gemm writes for rows [first, first + count) when they are the whole batch.
  std::vector<float> alone(int first, int count) const {
    const auto rows = std::span<const float>(x).subspan(std::size_t(first) * shape.num_columns,
                                                        std::size_t(count) * shape.num_columns);
    const auto out = filled<Out>(count, shape.num_outputs, NAN);
    run(exec(), to_device<T>(rows, count, shape.num_columns), out);
    return to_host(out);
  }
  std::vector<float> actual() const { return to_host(y_RN); }

  /// Also sets largest_terms, the largest sum of |x| |w| of an output.
  std::vector<float> expected() {
    std::vector<float> out;
    for (int r = 0, e = 0; r < shape.num_rows; ++r) {
      while (e + 1 < num_matrices && r >= shape.offsets[e + 1]) ++e;
      for (int n = 0; n < shape.num_outputs; ++n) {
        const double* w_K = &w.exact[(std::int64_t(e) * shape.num_outputs + n) * shape.num_columns];
        double sum = 0, terms = 0;
        for (int k = 0; k < shape.num_columns; ++k) {
          const double product = double(x[std::int64_t(r) * shape.num_columns + k]) * w_K[k];
          sum += product;
          terms += std::abs(product);
        }
        largest_terms = std::max(largest_terms, terms);
        out.push_back(float(sum));
      }
    }
    return out;
  }

  /// n roundings of float32 in a row change a sum by at most n 2^-24 of its terms' magnitude (to first order): one for
  /// the product, two for an FP8 scale, and one for each addition that a term passes through. Then the rounding to Out.
  double tolerance() const {
    const int chain = provider == GemmProvider::kokkos && shape.layout == WeightLayout::rows
                          ? shape.num_columns / kLanes + 1 + shape.num_columns / kFp8Block + 4
                          : shape.num_columns + shape.num_columns / kFp8Block;
    return ((chain + 3) * kUnit<float> + kUnit<Out>)*largest_terms;
  }

  double flop() const { return 2.0 * shape.num_rows * shape.num_outputs * shape.num_columns; }
  /// Activations, results, and the weights of the experts that have rows.
  double bytes() const {
    double matrices = shape.offsets.empty() ? 1 : 0;
    for (std::size_t e = 1; e < shape.offsets.size(); ++e) matrices += shape.offsets[e] > shape.offsets[e - 1];
    return matrices * double(w.weight.bytes()) / num_matrices + double(x_RK.size()) * sizeof(T) +
           double(y_RN.size()) * sizeof(Out);
  }

  GemmProvider provider;
  GemmShape shape;
  int num_matrices;
  std::vector<float> x;
  RandomWeight<W> w;
  View2D<T> x_RK;
  View1D<int> offset_E1;
  View1D<std::byte> workspace;
  View2D<Out> y_RN;
  double largest_terms = 0;
};

}  // namespace m2::test
