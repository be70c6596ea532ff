// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/backend_config.hpp"
#include "config/minimax_m2_config.hpp"
#include "config/moe_config.hpp"

namespace m2 {

/// What a model is made from: one object that all of its layers share. The backend is resolved().
struct ModelConfig {
  MiniMaxM2Config architecture;
  MoEConfig moe;
  BackendConfig backend;
  int lora_rank = 0;  ///< the largest of the adapters that the model has: their buffers have room for it
};

}  // namespace m2
