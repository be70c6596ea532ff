// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/backend_config.hpp"
#include "config/moe_config.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/moe/router.hpp"
#include "kernels/rowwise/rms_norm.hpp"

namespace m2 {

/// The provider that `choice` stands for; `automatic` is our own, which serves all dtypes.
GemmProvider provider_of(LinearBackend choice);

/// The same, when it multiplies these dtypes. `key` is the deck's ("linear" or "experts"), for the message. Throws
/// Error when the provider cannot multiply the dtypes.
GemmProvider resolve_provider(LinearBackend choice, const char* key, DType activation, DType weight);

RmsNormOrder rms_norm_order(const BackendConfig& backend);

RouterOptions router_options(const MoEConfig& moe, const BackendConfig& backend);

}  // namespace m2
