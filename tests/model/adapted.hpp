// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "checkpoint/formats/peft_adapter.hpp"
#include "kernels/weights/random_fill.hpp"
#include "model/fixture.hpp"

namespace m2::test {

/// tests/data/lora-tiny (see tests/data/README.md), or another folder of PEFT beside tiny-f32, in a model.
inline MiniMaxM2ForCausalLM adapted_model(const std::string& folder = std::string(M2_TEST_DATA) +
                                                                      "/lora-tiny/adapter") {
  MiniMaxM2ForCausalLM model = Fixture("tiny-f32").model(DType::float32);
  const PeftAdapter adapter(folder, model.config());
  model.add_adapters(adapter.adapters());
  adapter.load(model);
  return model;
}

/// Adapters of rank 3 and alpha 6 beside everything that takes one. B is 0 as at the start of training, or random.
inline void add_all_adapters(MiniMaxM2ForCausalLM& model, bool is_random) {
  std::vector<AdapterSpec> adapters;
  for (const Parameter& base : model.base_parameters()) {
    if (base.adapter) adapters.push_back({.base = base.name(), .rank = 3, .alpha = 6.0});
  }
  model.add_adapters(adapters);
  model.initialize_adapters(/*seed=*/1);
  if (!is_random) return;
  std::uint32_t stream = 0;
  for (const Parameter& parameter : model.adapter_parameters()) {
    fill_normal(exec(), {.seed = 2, .stream = ++stream}, {.mean = 0.0f, .deviation = 0.05f}, 0, *parameter.weight);
  }
}

}  // namespace m2::test
