// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm/low_rank.hpp"

#include "core/error.hpp"
#include "kernels/common/operation_cost.hpp"
#include "kernels/common/rows.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/gemm/gemm_backward.hpp"
#include "kernels/gemm/grouped_gemm.hpp"

namespace m2 {
namespace {

/// The matrix that row r belongs to: the last whose offset is not above r and that has rows.
KOKKOS_FUNCTION int matrix_of_row(const View1D<const int>& offset_E1, int r) {
  int low = 0, high = offset_E1.extent_int(0) - 1;  // offset[low] <= r < offset[high]
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (offset_E1(middle) <= r) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

template <class Y>
void scale_values(const ExecSpace& exec, float scale, View2D<Y> h_RJ) {
  const LoggedOperation logged(exec, "low_rank_scale", [&] { return array_cost(h_RJ, h_RJ); });
  Y* const h = h_RJ.data();
  Kokkos::parallel_for(
      "m2::low_rank_scale", Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(exec, 0, h_RJ.size()),
      KOKKOS_LAMBDA(std::int64_t i) { h[i] = Y(float(h[i]) * scale); });
}

/// y[r][n] += sum over j ascending of h[r][j] w[e][j][n]. A sum of 0 leaves y as it is, -0 included.
template <class H, class Y>
void add_products(const ExecSpace& exec, View2D<const H> h_RJ, const Weight& w_EJN, View1D<const int> offset_E1,
                  View2D<Y> y_RN) {
  const int rank = h_RJ.extent_int(1), width = y_RN.extent_int(1);
  const LoggedOperation logged(exec, "low_rank_add", [&] {
    return OperationCost{.bytes = bytes_of(h_RJ, y_RN, y_RN) + w_EJN.bytes(),
                         .flop = 2 * std::int64_t(h_RJ.extent(0)) * rank * width};
  });
  const View3D<const float> values_EJN = w_EJN.values<float>();
  Kokkos::parallel_for(
      "m2::low_rank_add", row_policy(exec, y_RN.extent_int(0)), KOKKOS_LAMBDA(const RowMember& team) {
        const int r = team.league_rank();
        const float* w = &values_EJN(offset_E1.extent(0) > 0 ? matrix_of_row(offset_E1, r) : 0, 0, 0);
        const H* h = row(h_RJ, r);
        Y* y = row(y_RN, r);
        row_tiles(team, width, [&](int first, auto tile) {
          constexpr int kWidth = decltype(tile)::value;
          float sum[kWidth] = {};
          for (int j = 0; j < rank; ++j) {
            const float factor = float(h[j]);
            const float* terms = w + std::int64_t(j) * width + first;
            for (int l = 0; l < kWidth; ++l) sum[l] += factor * terms[l];
          }
          for (int l = 0; l < kWidth; ++l)
            y[first + l] = sum[l] == 0.0f ? y[first + l] : Y(float(y[first + l]) + sum[l]);
        });
      });
}

/// out = x w^T, by the provider that multiplies everything.
template <class T, class Out>
void multiply(const ExecSpace& exec, View2D<const T> x_RK, const Weight& w_ENK, View1D<const int> offset_E1,
              View2D<Out> out_RN) {
  if (offset_E1.extent(0) == 0) return gemm<T, Out>(exec, GemmProvider::kokkos, x_RK, w_ENK, /*workspace=*/{}, out_RN);
  grouped_gemm<T, Out>(exec, GemmProvider::kokkos, x_RK, w_ENK, offset_E1, /*workspace=*/{}, out_RN);
}

/// The beginning of a buffer as a matrix of (R, J).
template <class Y>
View2D<Y> as_hidden(const char* name, View1D<Y> buffer, std::size_t num_rows, int rank) {
  M2_REQUIRE(buffer.extent(0) >= num_rows * std::size_t(rank), "low_rank: {} has {} elements, expected {} x {}", name,
             buffer.extent(0), num_rows, rank);
  return View2D<Y>(buffer.data(), num_rows, rank);
}

template <class T, class Y>
View2D<Y> project(const ExecSpace& exec, const LowRankAdapter& adapter, View2D<const T> x_RK,
                  View1D<const int> offset_E1, View1D<Y> hidden) {
  const View2D<Y> hidden_RJ = as_hidden("hidden", hidden, x_RK.extent(0), adapter.rank());
  multiply<T, Y>(exec, x_RK, adapter.a, offset_E1, hidden_RJ);
  scale_values<Y>(exec, adapter.scale(), hidden_RJ);
  return hidden_RJ;
}

template <class X, class Y>
void require_shapes(const char* name, const LowRankAdapter& adapter, const X& x_RK, const Y& y_RN) {
  require_same(name, "rows of the inputs", x_RK.extent(0), "rows of the outputs", y_RN.extent(0));
  require_same(name, "columns of the inputs", x_RK.extent(1), "columns of A", adapter.a.num_columns());
  require_same(name, "columns of the outputs", y_RN.extent(1), "rows of B", adapter.b.num_columns());
  require_same(name, "the rank of A", adapter.a.num_rows(), "the rank of B", adapter.b.num_rows());
  require_same(name, "matrices of A", adapter.a.num_matrices(), "matrices of B", adapter.b.num_matrices());
}

}  // namespace

template <class T, class Y>
void low_rank_forward(const ExecSpace& exec, const LowRankAdapter& adapter, View2D<const T> x_RK,
                      View1D<const int> offset_E1, View1D<Y> hidden, View2D<Y> y_RN) {
  if (!adapter.exists()) return;
  require_shapes("low_rank_forward", adapter, x_RK, y_RN);
  add_products<Y, Y>(exec, project<T, Y>(exec, adapter, x_RK, offset_E1, hidden), adapter.b, offset_E1, y_RN);
}

template <class T, class Y>
void low_rank_backward_input(const ExecSpace& exec, const LowRankAdapter& adapter, View2D<const Y> dy_RN,
                             View1D<const int> offset_E1, View1D<Y> dhidden, View2D<T> dx_RK) {
  if (!adapter.exists()) return;
  require_shapes("low_rank_backward_input", adapter, dx_RK, dy_RN);
  const View2D<Y> dhidden_RJ = as_hidden("dhidden", dhidden, dy_RN.extent(0), adapter.rank());
  multiply<Y, Y>(exec, dy_RN, adapter.b, offset_E1, dhidden_RJ);
  scale_values<Y>(exec, adapter.scale(), dhidden_RJ);
  add_products<Y, T>(exec, dhidden_RJ, adapter.a, offset_E1, dx_RK);
}

template <class T, class Y>
void low_rank_backward_weights(const ExecSpace& exec, const LowRankAdapter& adapter, View2D<const T> x_RK,
                               View2D<const Y> dy_RN, View1D<const int> offset_E1, View1D<Y> hidden,
                               View1D<Y> dhidden) {
  if (!adapter.exists()) return;
  require_shapes("low_rank_backward_weights", adapter, x_RK, dy_RN);
  if (adapter.grad.a.size() > 0) {
    const View2D<Y> dhidden_RJ = as_hidden("dhidden", dhidden, x_RK.extent(0), adapter.rank());
    gemm_backward_weight<Y, T>(exec, dhidden_RJ, x_RK, offset_E1, adapter.grad.a);
  }
  if (adapter.grad.b.size() > 0) {
    const View2D<Y> hidden_RJ = project<T, Y>(exec, adapter, x_RK, offset_E1, hidden);
    gemm_backward_weight<Y, Y>(exec, hidden_RJ, dy_RN, offset_E1, adapter.grad.b);
  }
}

void low_rank_merge(const ExecSpace& exec, const LowRankAdapter& adapter, View3D<float> values_ENK) {
  const View3D<const float> a_EJK = adapter.a.values<float>(), b_EJN = adapter.b.values<float>();
  require_same("low_rank_merge", "matrices of the values", values_ENK.extent(0), "matrices of A", a_EJK.extent(0));
  require_same("low_rank_merge", "rows of the values", values_ENK.extent(1), "rows of B", b_EJN.extent(2));
  require_same("low_rank_merge", "columns of the values", values_ENK.extent(2), "columns of A", a_EJK.extent(2));
  const LoggedOperation logged(exec, "low_rank_merge",
                               [&] { return array_cost(values_ENK, values_ENK, a_EJK, b_EJN); });
  const int num_rows = values_ENK.extent_int(1), width = values_ENK.extent_int(2), rank = adapter.rank();
  const float scale = adapter.scale();
  Kokkos::parallel_for(
      "m2::low_rank_merge", row_policy(exec, values_ENK.extent_int(0) * num_rows),
      KOKKOS_LAMBDA(const RowMember& team) {
        const int e = team.league_rank() / num_rows, n = team.league_rank() % num_rows;
        float* values = &values_ENK(e, n, 0);
        row_store(team, width, values, [=](int k) {
          float sum = 0.0f;
          for (int j = 0; j < rank; ++j) sum += b_EJN(e, j, n) * a_EJK(e, j, k);
          return values[k] + scale * sum;
        });
      });
}

#define M2_INSTANTIATE_LOW_RANK(T, Y)                                                                                \
  template void low_rank_forward(const ExecSpace&, const LowRankAdapter&, View2D<const T>, View1D<const int>,        \
                                 View1D<Y>, View2D<Y>);                                                              \
  template void low_rank_backward_input(const ExecSpace&, const LowRankAdapter&, View2D<const Y>, View1D<const int>, \
                                        View1D<Y>, View2D<T>);                                                       \
  template void low_rank_backward_weights(const ExecSpace&, const LowRankAdapter&, View2D<const T>, View2D<const Y>, \
                                          View1D<const int>, View1D<Y>, View1D<Y>)
M2_INSTANTIATE_LOW_RANK(float, float);
M2_INSTANTIATE_LOW_RANK(Bf16, Bf16);
M2_INSTANTIATE_LOW_RANK(Bf16, float);
#undef M2_INSTANTIATE_LOW_RANK

}  // namespace m2
