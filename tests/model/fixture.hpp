// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "io/safetensors.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"

namespace m2::test {

/// A checkpoint of tests/data with what transformers computed from it, in float32 (see tests/data/README.md).
class Fixture {
 public:
  explicit Fixture(const std::string& name)
      : folder(std::string(M2_TEST_DATA) + "/" + name), reference_(folder + "/reference.safetensors") {}

  std::vector<float> floats(const std::string& name) const { return read<float>(name); }

  std::vector<int> ints(const std::string& name) const {
    const std::vector<std::int64_t> wide = read<std::int64_t>(name);
    return {wide.begin(), wide.end()};
  }

  /// As the argument of forward(): two rows.
  InputIds input_ids(const std::string& name = "input_ids") const {
    const auto& shape = entry(name).shape;
    return {.num_sequences = int(shape[0]), .length = int(shape[1]), .ids = ints(name)};
  }

  MiniMaxM2ForCausalLM model(DType dtype, const BackendConfig& backend = {}, const ExecSpace& on = exec()) const {
    return MiniMaxM2ForCausalLM::from_pretrained(folder, {.backend = backend, .dtype = dtype, .exec = on});
  }

  const std::string folder;

 private:
  const TensorEntry& entry(const std::string& name) const {
    const TensorEntry* const found = reference_.find(name);
    M2_REQUIRE(found, "{}: no tensor {}", reference_.path(), name);
    return *found;
  }

  template <class T>
  std::vector<T> read(const std::string& name) const {
    const auto bytes = reference_.bytes(entry(name));
    std::vector<T> out(bytes.size() / sizeof(T));
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return out;
  }

  SafetensorsFile reference_;
};

}  // namespace m2::test
