// SPDX-License-Identifier: Apache-2.0
// A build without oneDNN: gemm_refusal() has said so before anything is multiplied.
#include "core/error.hpp"
#include "kernels/gemm/gemm_providers.hpp"

namespace m2 {

std::optional<OnednnInstructions> onednn_instructions() { return std::nullopt; }

std::int64_t onednn_workspace_bytes(int, int) { return 0; }

template <class T, class Out>
void gemm_onednn(const ExecSpace&, View2D<const T>, const Weight&, View1D<const int>, View1D<std::byte>, View2D<Out>) {
  raise("gemm: this build has no oneDNN");
}

#define M2_INSTANTIATE_GEMM_ONEDNN(T, Out)                                                                          \
  template void gemm_onednn(const ExecSpace&, View2D<const T>, const Weight&, View1D<const int>, View1D<std::byte>, \
                            View2D<Out>)
M2_FOR_GEMM_TYPES(M2_INSTANTIATE_GEMM_ONEDNN);
#undef M2_INSTANTIATE_GEMM_ONEDNN

}  // namespace m2
