// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/views.hpp"
#include "kernels/weights/weight.hpp"

namespace m2 {

// What gemm_backward.cpp calls after its checks: one source for hosts and one for devices.

/// gemm_backward_input with a weight of W.
template <class DY, class W, class DX>
void multiply_by_weight(const ExecSpace& exec, View2D<const DY> dy_RN, const Weight& weight,
                        View1D<const int> offset_E1, View2D<DX> dx_RK);

/// gemm_backward_weight.
template <class DY, class X>
void add_weight_gradient(const ExecSpace& exec, View2D<const DY> dy_RN, View2D<const X> x_RK,
                         View1D<const int> offset_E1, View3D<float> dw_ENK);

}  // namespace m2

// The types of gradients and activations that there are, and both functions above for them.
#define M2_FOR_GEMM_BACKWARD_TYPES(INSTANTIATE) \
  INSTANTIATE(float, float);                    \
  INSTANTIATE(Bf16, Bf16);                      \
  INSTANTIATE(float, Bf16)
#define M2_INSTANTIATE_GEMM_BACKWARD(DY, X)                                                                            \
  template void multiply_by_weight<DY, float, X>(const ExecSpace&, View2D<const DY>, const Weight&, View1D<const int>, \
                                                 View2D<X>);                                                           \
  template void multiply_by_weight<DY, Bf16, X>(const ExecSpace&, View2D<const DY>, const Weight&, View1D<const int>,  \
                                                View2D<X>);                                                            \
  template void multiply_by_weight<DY, Fp8E4M3, X>(const ExecSpace&, View2D<const DY>, const Weight&,                  \
                                                   View1D<const int>, View2D<X>);                                      \
  template void add_weight_gradient(const ExecSpace&, View2D<const DY>, View2D<const X>, View1D<const int>,            \
                                    View3D<float>)
