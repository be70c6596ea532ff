// SPDX-License-Identifier: Apache-2.0
// A build without Kokkos Kernels: gemm_refusal() has said so before anything is multiplied.
#include "core/error.hpp"
#include "kernels/gemm/gemm_providers.hpp"

namespace m2 {

bool has_kokkos_kernels() { return false; }

std::int64_t kokkos_kernels_workspace_bytes(int, int, int) { return 0; }

template <class T, class Out>
void gemm_kokkos_kernels(const ExecSpace&, View2D<const T>, const Weight&, View1D<const int>, View1D<std::byte>,
                         View2D<Out>) {
  raise("gemm: this build has no Kokkos Kernels");
}

#define M2_INSTANTIATE_GEMM_KOKKOS_KERNELS(T, Out)                                                       \
  template void gemm_kokkos_kernels(const ExecSpace&, View2D<const T>, const Weight&, View1D<const int>, \
                                    View1D<std::byte>, View2D<Out>)
M2_FOR_GEMM_TYPES(M2_INSTANTIATE_GEMM_KOKKOS_KERNELS);
#undef M2_INSTANTIATE_GEMM_KOKKOS_KERNELS

}  // namespace m2
