// SPDX-License-Identifier: Apache-2.0
#include "config/backend_config.hpp"

namespace m2 {

void BackendConfig::validate() const {
  M2_REQUIRE(fake_gate_noise >= 0.0f && fake_gate_noise <= 1.0f,
             "BackendConfig: key 'fake_gate_noise': found {}, expected a number from 0 to 1", fake_gate_noise);
}

BackendConfig BackendConfig::resolved() const {
  BackendConfig out = *this;
  out.linear = resolve(linear);
  out.experts = resolve(experts);
  return out;
}

}  // namespace m2
