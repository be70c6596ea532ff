// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "checkpoint/convert/convert.hpp"
#include "checkpoint/convert/model_source.hpp"
#include "checkpoint/formats/open_checkpoint.hpp"
#include "checkpoint/hugging_face_folder.hpp"
#include "core/host_copy.hpp"
#include "io/flip_bit.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "train/checkpoint/checkpoint_write.hpp"

namespace m2::test {

/// A model of a fixture, and an optimizer's state of random numbers: master, m and v of every parameter.
class SmallRun {
 public:
  explicit SmallRun(const std::string& fixture_name, std::uint64_t seed = 1)
      : source_(open_checkpoint(fixture(fixture_name))),
        model(MiniMaxM2ForCausalLM::from_pretrained(fixture(fixture_name), {.exec = exec()})) {
    for (const Parameter& parameter : model.parameters()) {
      for (const char* what : {"master", "m", "v"}) {
        memory_.push_back(to_device<float>(normal(parameter.schema.num_values(), seed++)));
        states.push_back({parameter.name() + "/" + what, DType::float32, parameter.schema.shape,
                          reinterpret_cast<std::byte*>(memory_.back().data())});
      }
    }
  }

  TrainingState state(const std::string& json = "{\"step\": 7}") {
    return {model.config(), model.parameters(), states, {json}, companion_texts(*source_)};
  }

  /// Zeros instead of the state.
  void forget() {
    for (const View1D<float>& values : memory_) Kokkos::deep_copy(values, 0.0f);
  }

  /// All of the optimizer's state, as it lies in memory.
  std::vector<std::vector<float>> optimizer() const {
    std::vector<std::vector<float>> all;
    for (const View1D<float>& values : memory_) all.push_back(to_host(values));
    return all;
  }

  /// Adds 1 to the states of a parameter, as an optimizer might.
  void step(std::size_t parameter) {
    for (std::size_t i = 3 * parameter; i < 3 * parameter + 3; ++i) {
      std::vector<float> values = to_host(memory_[i]);
      for (float& value : values) value += 1.0f;
      copy_to_device(exec(), std::span(values), memory_[i]);
      exec().fence("m2::test: the values end here");
    }
  }

 private:
  std::unique_ptr<TensorSource> source_;
  std::vector<View1D<float>> memory_;

 public:
  MiniMaxM2ForCausalLM model;
  std::vector<StateTensor> states;
};

/// Writes it in one go.
inline bool write_checkpoint(SmallRun& run, const std::string& path) {
  return CheckpointWrite(run.state(), exec()).write(path, [](std::size_t) {});
}

/// The bytes of every tensor of a model, in the order of its parameters.
inline std::vector<std::vector<std::byte>> model_bytes(MiniMaxM2ForCausalLM& model) {
  const ModelSource source(model.config(), model.parameters(), exec(), NormDType::float32);
  std::vector<std::vector<std::byte>> all;
  for (const StoredTensor& tensor : source.tensors()) {
    source.read(tensor, 0, all.emplace_back(tensor.size_bytes()));
  }
  return all;
}

}  // namespace m2::test
