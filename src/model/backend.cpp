// SPDX-License-Identifier: Apache-2.0
#include "model/backend.hpp"

#include "core/error.hpp"

namespace m2 {

GemmProvider provider_of(LinearBackend choice) {
  switch (choice) {
    case LinearBackend::kokkos_kernels:
      return GemmProvider::kokkos_kernels;
    case LinearBackend::onednn:
      return GemmProvider::onednn;
    case LinearBackend::automatic:
    case LinearBackend::kokkos:
      break;
  }
  return GemmProvider::kokkos;
}

GemmProvider resolve_provider(LinearBackend choice, const char* key, DType activation, DType weight) {
  const GemmProvider provider = provider_of(choice);
  const std::string_view refusal = gemm_refusal(provider, activation, weight);
  M2_REQUIRE(refusal.empty(), "backend.{}: {} does not multiply {} activations with {} weights: {}", key,
             name(provider), name(activation), name(weight), refusal);
  return provider;
}

RmsNormOrder rms_norm_order(const BackendConfig& backend) {
  return backend.rms_norm == RmsNormBackend::cast_first ? RmsNormOrder::cast_first : RmsNormOrder::cast_last;
}

RouterOptions router_options(const MoEConfig& moe, const BackendConfig& backend) {
  return {.score_func = moe.score_func == ScoringFunc::softmax ? ScoreFunction::softmax : ScoreFunction::sigmoid,
          .normalize = moe.norm_topk_prob,
          .route_scale = float(moe.route_scale),
          .round_to_bf16 = backend.gate_precision == Precision::bfloat16};
}

}  // namespace m2
