// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm/gemm_backward.hpp"

#include "core/error.hpp"
#include "kernels/common/rows.hpp"
#include "kernels/gemm/gemm_backward_variants.hpp"
#include "kernels/gemm/gemm_cost.hpp"

namespace m2 {
namespace {

void require_offsets(const char* operation, View1D<const int> offset_E1, int num_matrices) {
  const int expected = num_matrices == 1 && offset_E1.extent(0) == 0 ? 0 : num_matrices + 1;
  M2_REQUIRE(offset_E1.extent_int(0) == expected, "{}: {} offsets for {} matrices, {} are expected", operation,
             offset_E1.extent(0), num_matrices, expected);
}

std::int64_t count_matrices(const ExecSpace& exec, View1D<const int> offset_E1) {
  return offset_E1.extent(0) > 0 ? count_touched(exec, offset_E1) : 1;
}

// A gradient is read and written.
template <class DY, class X>
OperationCost weight_cost(const ExecSpace& exec, View2D<const DY> dy_RN, View2D<const X> x_RK,
                          View1D<const int> offset_E1, View3D<float> dw_ENK) {
  const std::int64_t matrix_size = std::int64_t(dw_ENK.extent(1)) * dw_ENK.extent(2);
  return {
      .bytes = bytes_of(dy_RN, x_RK) + 2 * count_matrices(exec, offset_E1) * matrix_size * std::int64_t(sizeof(float)),
      .flop = 2 * std::int64_t(dy_RN.extent(0)) * matrix_size};
}

}  // namespace

template <class DY, class DX>
void gemm_backward_input(const ExecSpace& exec, View2D<const DY> dy_RN, const Weight& w_ENK,
                         View1D<const int> offset_E1, View2D<DX> dx_RK) {
  constexpr const char* kName = "gemm_backward_input";
  require_same(kName, "columns of dy", dy_RN.extent(1), "rows of the weight", w_ENK.num_rows());
  require_same(kName, "columns of dx", dx_RK.extent(1), "columns of the weight", w_ENK.num_columns());
  require_same(kName, "rows of dx", dx_RK.extent(0), "rows of dy", dy_RN.extent(0));
  require_offsets(kName, offset_E1, w_ENK.num_matrices());
  const LoggedOperation logged(exec, kName,
                               [&] { return gemm_cost(dy_RN, w_ENK, count_matrices(exec, offset_E1), dx_RK); });
  if (dx_RK.size() == 0) return;
  switch (w_ENK.dtype()) {
    case DType::float32:
      return multiply_by_weight<DY, float, DX>(exec, dy_RN, w_ENK, offset_E1, dx_RK);
    case DType::bfloat16:
      return multiply_by_weight<DY, Bf16, DX>(exec, dy_RN, w_ENK, offset_E1, dx_RK);
    default:
      return multiply_by_weight<DY, Fp8E4M3, DX>(exec, dy_RN, w_ENK, offset_E1, dx_RK);
  }
}

template <class DY, class X>
void gemm_backward_weight(const ExecSpace& exec, View2D<const DY> dy_RN, View2D<const X> x_RK,
                          View1D<const int> offset_E1, View3D<float> dw_ENK) {
  constexpr const char* kName = "gemm_backward_weight";
  require_same(kName, "columns of dy", dy_RN.extent(1), "rows of dw", dw_ENK.extent(1));
  require_same(kName, "columns of x", x_RK.extent(1), "columns of dw", dw_ENK.extent(2));
  require_same(kName, "rows of x", x_RK.extent(0), "rows of dy", dy_RN.extent(0));
  require_offsets(kName, offset_E1, dw_ENK.extent_int(0));
  const LoggedOperation logged(exec, kName, [&] { return weight_cost(exec, dy_RN, x_RK, offset_E1, dw_ENK); });
  if (dy_RN.extent(0) == 0 || dw_ENK.size() == 0) return;
  add_weight_gradient(exec, dy_RN, x_RK, offset_E1, dw_ENK);
}

#define M2_INSTANTIATE_GEMM_GRADIENTS(DY, X)                                                                          \
  template void gemm_backward_input(const ExecSpace&, View2D<const DY>, const Weight&, View1D<const int>, View2D<X>); \
  template void gemm_backward_weight(const ExecSpace&, View2D<const DY>, View2D<const X>, View1D<const int>,          \
                                     View3D<float>)
M2_FOR_GEMM_BACKWARD_TYPES(M2_INSTANTIATE_GEMM_GRADIENTS);
#undef M2_INSTANTIATE_GEMM_GRADIENTS

}  // namespace m2
