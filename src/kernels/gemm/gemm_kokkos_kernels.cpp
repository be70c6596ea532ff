// SPDX-License-Identifier: Apache-2.0
#include <KokkosBlas3_gemm.hpp>
#include <algorithm>
#include <vector>

#include "kernels/gemm/gemm_providers.hpp"

namespace m2 {
namespace {

/// Weight rows that are expanded to float32 at a time.
constexpr int kCopyRows = 256;

/// out = float(x).
template <class T>
void expand_activations(const ExecSpace& exec, View2D<const T> x_RK, View2D<float> out_RK) {
  using Policy = Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>;
  const int num_columns = x_RK.extent_int(1);
  Kokkos::parallel_for(
      "m2::gemm::expand_activations", Policy(exec, 0, x_RK.size()), KOKKOS_LAMBDA(std::int64_t i) {
        out_RK(i / num_columns, i % num_columns) = float(x_RK(i / num_columns, i % num_columns));
      });
}

/// out = rows first_row, first_row + 1, ... of matrix e, in float32, times their scales.
template <class W>
void expand_rows(const ExecSpace& exec, const Weight& weight, int e, int first_row, View2D<float> out_PK) {
  using Policy = Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>;
  const View3D<const W> w_ENK = weight.values<W>();
  const View3D<const float> scale_inv = weight.scale_inv();
  const int num_columns = weight.num_columns(), rows_per_part = weight.num_rows() / weight.num_row_parts();
  Kokkos::parallel_for(
      "m2::gemm::expand_weight", Policy(exec, 0, out_PK.size()), KOKKOS_LAMBDA(std::int64_t i) {
        const int p = int(i / num_columns), n = first_row + p, k = int(i % num_columns);
        const float scale = scale_inv.size() > 0 ? scale_inv(e, fp8_scale_row(n, rows_per_part), k / kFp8Block) : 1.0f;
        out_PK(p, k) = float(w_ENK(e, n, k)) * scale;
      });
}

void expand_rows(const ExecSpace& exec, const Weight& weight, int e, int first_row, View2D<float> out_PK) {
  switch (weight.dtype()) {
    case DType::float32:
      return expand_rows<float>(exec, weight, e, first_row, out_PK);
    case DType::bfloat16:
      return expand_rows<Bf16>(exec, weight, e, first_row, out_PK);
    default:
      return expand_rows<Fp8E4M3>(exec, weight, e, first_row, out_PK);
  }
}

/// y[begin + m, first_column + p] = Out(panel[m, p]).
template <class Out>
void store_columns(const ExecSpace& exec, View2D<const float> panel_MP, int begin, int first_column, View2D<Out> y_RN) {
  using Policy = Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>;
  const int width = panel_MP.extent_int(1);
  Kokkos::parallel_for(
      "m2::gemm::store_columns", Policy(exec, 0, panel_MP.size()), KOKKOS_LAMBDA(std::int64_t i) {
        const int m = int(i / width), p = int(i % width);
        y_RN(begin + m, first_column + p) = Out(panel_MP(m, p));
      });
}

}  // namespace

bool has_kokkos_kernels() { return true; }

std::int64_t kokkos_kernels_workspace_bytes(int max_tokens, int num_rows, int num_columns) {
  const std::int64_t panel = std::min(num_rows, kCopyRows), tokens = max_tokens;
  return (tokens * num_columns + panel * num_columns + tokens * panel) * std::int64_t(sizeof(float));
}

template <class T, class Out>
void gemm_kokkos_kernels(const ExecSpace& exec, View2D<const T> x_RK, const Weight& w_ENK, View1D<const int> offset_E1,
                         View1D<std::byte> workspace, View2D<Out> y_RN) {
  const int num_rows = x_RK.extent_int(0), num_columns = x_RK.extent_int(1), num_outputs = y_RN.extent_int(1);
  const int panel_rows = std::min(num_outputs, kCopyRows);
  float* const expanded_x = reinterpret_cast<float*>(workspace.data());
  float* const expanded_w = expanded_x + std::int64_t(num_rows) * num_columns;
  float* const panel_y = expanded_w + std::int64_t(panel_rows) * num_columns;
  expand_activations(exec, x_RK, View2D<float>(expanded_x, num_rows, num_columns));
  const std::vector<int> offsets = offsets_on_host(exec, offset_E1, num_rows);
  for (int e = 0; e + 1 < int(offsets.size()); ++e) {
    const int begin = offsets[e], group_rows = offsets[e + 1] - begin;
    if (group_rows == 0) continue;
    const View2D<const float> x_MK(expanded_x + std::int64_t(begin) * num_columns, group_rows, num_columns);
    for (int n = 0; n < num_outputs; n += kCopyRows) {
      const int width = std::min(kCopyRows, num_outputs - n);
      const View2D<float> w_PK(expanded_w, width, num_columns), y_MP(panel_y, group_rows, width);
      expand_rows(exec, w_ENK, e, n, w_PK);
      KokkosBlas::gemm(exec, "N", "T", 1.0f, x_MK, View2D<const float>(w_PK), 0.0f, y_MP);
      store_columns<Out>(exec, y_MP, begin, n, y_RN);
    }
  }
}

#define M2_INSTANTIATE_GEMM_KOKKOS_KERNELS(T, Out)                                                       \
  template void gemm_kokkos_kernels(const ExecSpace&, View2D<const T>, const Weight&, View1D<const int>, \
                                    View1D<std::byte>, View2D<Out>)
M2_FOR_GEMM_TYPES(M2_INSTANTIATE_GEMM_KOKKOS_KERNELS);
#undef M2_INSTANTIATE_GEMM_KOKKOS_KERNELS

}  // namespace m2
