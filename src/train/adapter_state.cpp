// SPDX-License-Identifier: Apache-2.0
#include "train/adapter_state.hpp"

namespace m2 {

std::vector<StateTensor> adapter_state(MiniMaxM2ForCausalLM& model) {
  std::vector<StateTensor> state;
  for (const Parameter& parameter : model.adapter_parameters()) {
    state.push_back({.name = parameter.name() + "/value",
                     .dtype = DType::float32,
                     .shape = parameter.local_shape(),
                     .data = parameter.weight->data()});
  }
  return state;
}

}  // namespace m2
