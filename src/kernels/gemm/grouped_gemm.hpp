// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "core/views.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/weights/weight.hpp"

namespace m2 {

/// For each expert e: y[offset[e] .. offset[e+1]) = x[the same rows] w[e]^T, each row with the bits that gemm gives it.
/// `offset_E1` ascends from 0 to R; experts without rows cost nothing. Providers and dtypes as in gemm(), workspace for
/// R rows. Providers other than `kokkos` read the offsets on the host, so they wait for `exec`. Throws Error when
/// shapes disagree, the workspace is too small or the provider does not support the dtypes.
template <class T, class Out>
void grouped_gemm(const ExecSpace& exec, GemmProvider provider, View2D<const T> x_RK, const Weight& w_ENK,
                  View1D<const int> offset_E1, View1D<std::byte> workspace, View2D<Out> y_RN);

}  // namespace m2
