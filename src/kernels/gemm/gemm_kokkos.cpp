// SPDX-License-Identifier: Apache-2.0
#include <type_traits>

#include "kernels/gemm/gemm_providers.hpp"

namespace m2 {

template <class T, class Out>
void gemm_kokkos(const ExecSpace& exec, View2D<const T> x_RK, const Weight& w_ENK, View1D<const int> offset_E1,
                 View2D<Out> y_RN) {
  if constexpr (std::is_same_v<T, Bf16>) {
    if (w_ENK.layout() == WeightLayout::panels) return gemm_panels(exec, x_RK, w_ENK, offset_E1, y_RN);
  }
  switch (w_ENK.dtype()) {
    case DType::float32:
      return multiply_groups<T, float, Out>(exec, x_RK, w_ENK, offset_E1, y_RN);
    case DType::bfloat16:
      return multiply_groups<T, Bf16, Out>(exec, x_RK, w_ENK, offset_E1, y_RN);
    default:
      return multiply_groups<T, Fp8E4M3, Out>(exec, x_RK, w_ENK, offset_E1, y_RN);
  }
}

#define M2_INSTANTIATE_GEMM_KOKKOS(T, Out) \
  template void gemm_kokkos(const ExecSpace&, View2D<const T>, const Weight&, View1D<const int>, View2D<Out>)
M2_FOR_GEMM_TYPES(M2_INSTANTIATE_GEMM_KOKKOS);
#undef M2_INSTANTIATE_GEMM_KOKKOS

}  // namespace m2
