// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm/grouped_gemm.hpp"

#include "core/error.hpp"
#include "kernels/gemm/gemm_cost.hpp"
#include "kernels/gemm/gemm_providers.hpp"

namespace m2 {

template <class T, class Out>
void grouped_gemm(const ExecSpace& exec, GemmProvider provider, View2D<const T> x_RK, const Weight& w_ENK,
                  View1D<const int> offset_E1, View1D<std::byte> workspace, View2D<Out> y_RN) {
  M2_REQUIRE(offset_E1.extent_int(0) == w_ENK.num_matrices() + 1,
             "grouped_gemm: {} offsets for {} matrices, {} are expected", offset_E1.extent(0), w_ENK.num_matrices(),
             w_ENK.num_matrices() + 1);
  const LoggedOperation logged(exec, "grouped_gemm",
                               [&] { return gemm_cost(x_RK, w_ENK, count_touched(exec, offset_E1), y_RN); });
  multiply("grouped_gemm", exec, provider, x_RK, w_ENK, offset_E1, workspace, y_RN);
}

#define M2_INSTANTIATE_GROUPED_GEMM(T, Out)                                                                     \
  template void grouped_gemm(const ExecSpace&, GemmProvider, View2D<const T>, const Weight&, View1D<const int>, \
                             View1D<std::byte>, View2D<Out>)
M2_FOR_GEMM_TYPES(M2_INSTANTIATE_GROUPED_GEMM);
#undef M2_INSTANTIATE_GROUPED_GEMM

}  // namespace m2
