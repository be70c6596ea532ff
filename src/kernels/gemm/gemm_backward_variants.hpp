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
