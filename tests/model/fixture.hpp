// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
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

/// Mean KL(reference || ours) over all tokens, in nats.
inline double mean_kl(std::span<const float> reference, std::span<const float> ours, std::size_t width) {
  const auto log_softmax = [width](std::span<const float> row) {
    std::vector<double> out(row.begin(), row.end());
    const double largest = *std::ranges::max_element(out);
    double sum = 0;
    for (const double value : out) sum += std::exp(value - largest);
    for (double& value : out) value -= largest + std::log(sum);
    return out;
  };
  double total = 0;
  for (std::size_t begin = 0; begin < reference.size(); begin += width) {
    const auto p = log_softmax(reference.subspan(begin, width)), q = log_softmax(ours.subspan(begin, width));
    for (std::size_t v = 0; v < width; ++v) total += std::exp(p[v]) * (p[v] - q[v]);
  }
  return total / double(reference.size() / width);
}

}  // namespace m2::test
