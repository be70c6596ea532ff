// SPDX-License-Identifier: Apache-2.0
#include "kernels/panels/panel_gemm.hpp"

namespace m2 {

MultiplyPanels panel_kernel() {
  static const MultiplyPanels chosen = panel_kernel_avx512() != nullptr ? panel_kernel_avx512() : panel_kernel_avx2();
  return chosen;
}

const char* panel_kernel_name() {
  if (panel_kernel() == nullptr) return "portable";
  return panel_kernel() == panel_kernel_avx512() ? "avx512_bf16" : "avx2";
}

}  // namespace m2
