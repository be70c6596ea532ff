// SPDX-License-Identifier: Apache-2.0
// A build without panels: no weight is laid out so on devices, and panels_fit() says so.
#include "core/error.hpp"
#include "kernels/gemm/gemm_providers.hpp"
#include "kernels/gemm/grouped_swiglu.hpp"

namespace m2 {

template <class Out>
void gemm_panels(const ExecSpace&, View2D<const Bf16>, const Weight&, View1D<const int>, View2D<Out>) {
  raise("gemm: weights in panels are multiplied on hosts only");
}

template void gemm_panels(const ExecSpace&, View2D<const Bf16>, const Weight&, View1D<const int>, View2D<Bf16>);
template void gemm_panels(const ExecSpace&, View2D<const Bf16>, const Weight&, View1D<const int>, View2D<float>);

void grouped_swiglu(const ExecSpace&, View2D<const Bf16>, const Weight&, View1D<const int>, View1D<const float>,
                    View2D<Bf16>, View2D<Bf16>, View2D<const Bf16>) {
  raise("grouped_swiglu: weights in panels are multiplied on hosts only; see grouped_gemm and swiglu");
}

}  // namespace m2
