// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm/gemm.hpp"

#include "core/error.hpp"
#include "kernels/gemm/gemm_cost.hpp"
#include "kernels/gemm/gemm_providers.hpp"

namespace m2 {

std::int64_t gemm_workspace_bytes(GemmProvider provider, DType activation, DType weight, int max_tokens, int num_rows,
                                  int num_columns) {
  require_provider("gemm", provider, activation, weight);
  switch (provider) {
    case GemmProvider::automatic:
    case GemmProvider::kokkos:
      return 0;
    case GemmProvider::kokkos_kernels:
      return kokkos_kernels_workspace_bytes(max_tokens, num_rows, num_columns);
    case GemmProvider::onednn:
      return onednn_workspace_bytes(num_rows, num_columns);
  }
  raise("unknown gemm provider {}", int(provider));
}

template <class T, class Out>
void gemm(const ExecSpace& exec, GemmProvider provider, View2D<const T> x_TK, const Weight& w_NK,
          View1D<std::byte> workspace, View2D<Out> y_TN) {
  M2_REQUIRE(w_NK.num_matrices() == 1, "gemm: the weight holds {} matrices, 1 is expected; see grouped_gemm",
             w_NK.num_matrices());
  const LoggedOperation logged(exec, "gemm", [&] { return gemm_cost(x_TK, w_NK, 1, y_TN); });
  multiply("gemm", exec, provider, x_TK, w_NK, View1D<const int>(), workspace, y_TN);
}

#define M2_INSTANTIATE_GEMM(T, Out) \
  template void gemm(const ExecSpace&, GemmProvider, View2D<const T>, const Weight&, View1D<std::byte>, View2D<Out>)
M2_FOR_GEMM_TYPES(M2_INSTANTIATE_GEMM);
#undef M2_INSTANTIATE_GEMM

}  // namespace m2
