// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <vector>

#include "core/error.hpp"
#include "core/host_copy.hpp"
#include "core/views.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/weights/weight.hpp"

namespace m2 {

// What gemm.hpp and grouped_gemm.hpp share: one function per provider, each defined in its own file, with
// y[r] = x[r] w[e]^T for the rows r of group e. Without offsets all rows belong to matrix 0. CMake chooses the sources:
// where a build has no such provider, <name>_none.cpp says so, and gemm_refusal() tells the user.

template <class T, class Out>
void gemm_kokkos(const ExecSpace& exec, View2D<const T> x_RK, const Weight& w_ENK, View1D<const int> offset_E1,
                 View2D<Out> y_RN);

/// What gemm_kokkos does where the weight lies in rows of W: one source for hosts and one for devices.
template <class T, class W, class Out>
void multiply_groups(const ExecSpace& exec, View2D<const T> x_RK, const Weight& weight, View1D<const int> offset_E1,
                     View2D<Out> y_RN);

/// What gemm_kokkos does where the weight lies in panels, on hosts.
template <class Out>
void gemm_panels(const ExecSpace& exec, View2D<const Bf16> x_RK, const Weight& w_ENK, View1D<const int> offset_E1,
                 View2D<Out> y_RN);

template <class T, class Out>
void gemm_kokkos_kernels(const ExecSpace& exec, View2D<const T> x_RK, const Weight& w_ENK, View1D<const int> offset_E1,
                         View1D<std::byte> workspace, View2D<Out> y_RN);
std::int64_t kokkos_kernels_workspace_bytes(int max_tokens, int num_rows, int num_columns);
bool has_kokkos_kernels();

template <class T, class Out>
void gemm_onednn(const ExecSpace& exec, View2D<const T> x_RK, const Weight& w_ENK, View1D<const int> offset_E1,
                 View1D<std::byte> workspace, View2D<Out> y_RN);
std::int64_t onednn_workspace_bytes(int num_rows, int num_columns);

/// What oneDNN may use of the processor.
struct OnednnInstructions {
  bool avx512 = false, avx512_bf16 = false, amx = false;
};
/// As oneDNN itself says, which the first call keeps from AMX; nothing in a build without oneDNN.
std::optional<OnednnInstructions> onednn_instructions();
/// gemm_refusal() of the provider onednn, were these the instructions.
std::string_view onednn_refusal(const std::optional<OnednnInstructions>& instructions, DType activation, DType weight);

/// Throws Error that begins with `operation` and ends with gemm_refusal(), if there is any.
void require_provider(std::string_view operation, GemmProvider provider, DType activation, DType weight);

/// The offsets, or {0, num_rows} without any. Waits for `exec`.
inline std::vector<int> offsets_on_host(const ExecSpace& exec, View1D<const int> offset_E1, int num_rows) {
  if (offset_E1.extent(0) == 0) return {0, num_rows};
  return to_host(exec, offset_E1, "m2::grouped_gemm: the host reads the offsets");
}

/// Checks what every provider relies on, then calls it. `operation` begins the messages.
template <class T, class Out>
void multiply(const char* operation, const ExecSpace& exec, GemmProvider provider, View2D<const T> x_RK,
              const Weight& w_ENK, View1D<const int> offset_E1, View1D<std::byte> workspace, View2D<Out> y_RN) {
  M2_REQUIRE(x_RK.extent_int(1) == w_ENK.num_columns(), "{}: x has {} columns, the weight has {}", operation,
             x_RK.extent(1), w_ENK.num_columns());
  M2_REQUIRE(y_RN.extent(0) == x_RK.extent(0), "{}: y has {} rows, x has {}", operation, y_RN.extent(0),
             x_RK.extent(0));
  M2_REQUIRE(y_RN.extent_int(1) == w_ENK.num_rows(), "{}: y has {} columns, the weight has {} rows", operation,
             y_RN.extent(1), w_ENK.num_rows());
  require_provider(operation, provider, kDTypeOf<T>, w_ENK.dtype());
  M2_REQUIRE(w_ENK.layout() == WeightLayout::rows || (provider == GemmProvider::kokkos && std::is_same_v<T, Bf16>),
             "{}: a weight in panels is multiplied by bfloat16 activations and the provider kokkos only, not {} and {}",
             operation, name(kDTypeOf<T>), name(provider));
  M2_REQUIRE(w_ENK.num_columns() > 0, "{}: the weight has no columns", operation);
  const std::int64_t needed_bytes = gemm_workspace_bytes(provider, kDTypeOf<T>, w_ENK.dtype(), x_RK.extent_int(0),
                                                         w_ENK.num_rows(), w_ENK.num_columns());
  M2_REQUIRE(std::int64_t(workspace.extent(0)) >= needed_bytes, "{}: the workspace has {} bytes, {} are needed",
             operation, workspace.extent(0), needed_bytes);
  if (y_RN.size() == 0) return;
  switch (provider) {
    case GemmProvider::automatic:
    case GemmProvider::kokkos:
      return gemm_kokkos(exec, x_RK, w_ENK, offset_E1, y_RN);
    case GemmProvider::kokkos_kernels:
      return gemm_kokkos_kernels(exec, x_RK, w_ENK, offset_E1, workspace, y_RN);
    case GemmProvider::onednn:
      return gemm_onednn(exec, x_RK, w_ENK, offset_E1, workspace, y_RN);
  }
}

}  // namespace m2

// The types of activations, weights and results for which providers are instantiated.
#define M2_FOR_GEMM_TYPES(INSTANTIATE) \
  INSTANTIATE(float, float);           \
  INSTANTIATE(Bf16, Bf16);             \
  INSTANTIATE(Bf16, float)
#define M2_FOR_GEMM_AND_WEIGHT_TYPES(INSTANTIATE) \
  INSTANTIATE(float, float, float);               \
  INSTANTIATE(float, Bf16, float);                \
  INSTANTIATE(float, Fp8E4M3, float);             \
  INSTANTIATE(Bf16, float, Bf16);                 \
  INSTANTIATE(Bf16, Bf16, Bf16);                  \
  INSTANTIATE(Bf16, Fp8E4M3, Bf16);               \
  INSTANTIATE(Bf16, float, float);                \
  INSTANTIATE(Bf16, Bf16, float);                 \
  INSTANTIATE(Bf16, Fp8E4M3, float)
