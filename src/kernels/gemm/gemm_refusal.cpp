// SPDX-License-Identifier: Apache-2.0
#include "core/error.hpp"
#include "kernels/common/rows.hpp"
#include "kernels/gemm/gemm_providers.hpp"

namespace m2 {

std::string_view onednn_refusal(const std::optional<OnednnInstructions>& instructions, DType activation, DType weight) {
  if (!kRunsOnHost) return "oneDNN multiplies on hosts, and this build is for devices; choose auto";
  if (!instructions) return "this build has no oneDNN; configure with it installed, or choose auto";
  if (activation != weight || weight == DType::float8_e4m3fn)
    return "oneDNN multiplies float32 by float32 and bfloat16 by bfloat16; choose auto";
  if (weight == DType::float32 && !instructions->avx512)
    return "with float32 this needs a processor with AVX-512; choose auto";
  if (weight == DType::bfloat16 && !instructions->avx512_bf16)
    return "with bfloat16 this needs a processor with AVX-512 BF16; choose auto";
  if (weight == DType::bfloat16 && instructions->amx)
    return "oneDNN uses AMX, with which a row's bits depend on the batch: it was in use before it could be kept from "
           "that; choose auto, or set ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16";
  return {};
}

std::string_view gemm_refusal(GemmProvider provider, DType activation, DType weight) {
  const bool has_activation = activation == DType::float32 || activation == DType::bfloat16;
  const bool has_weight = weight == DType::float32 || weight == DType::bfloat16 || weight == DType::float8_e4m3fn;
  if (!has_activation || !has_weight)
    return "activations are float32 or bfloat16, weights those or float8_e4m3fn; choose another dtype";
  switch (provider) {
    case GemmProvider::automatic:
      return "auto was not resolved; choose kokkos";
    case GemmProvider::kokkos:
      return {};
    case GemmProvider::kokkos_kernels:
      if (has_kokkos_kernels()) return {};
      return "this build has no Kokkos Kernels; configure with it installed, or choose auto";
    case GemmProvider::onednn:
      return onednn_refusal(onednn_instructions(), activation, weight);
  }
  raise("unknown gemm provider {}", int(provider));
}

bool gemm_supports(GemmProvider provider, DType activation, DType weight) {
  return gemm_refusal(provider, activation, weight).empty();
}

void require_provider(std::string_view operation, GemmProvider provider, DType activation, DType weight) {
  const std::string_view refusal = gemm_refusal(provider, activation, weight);
  M2_REQUIRE(refusal.empty(), "{}: provider {} does not multiply {} activations by {} weights: {}", operation,
             name(provider), name(activation), name(weight), refusal);
}

}  // namespace m2
