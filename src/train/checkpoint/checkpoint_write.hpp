// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/convert/model_source.hpp"
#include "checkpoint/tensor_sink.hpp"
#include "core/views.hpp"
#include "train/checkpoint/state_tensor.hpp"

namespace m2 {

/// The paths of the optimizer's datasets begin with it.
inline constexpr std::string_view kOptimizerGroup = "/optimizer/";

/// What a checkpoint of a training run holds.
struct TrainingState {
  MiniMaxM2Config config;             ///< of the model
  std::vector<Parameter> parameters;  ///< all of the model's, in its order
  std::vector<StateTensor> optimizer;
  TrainerState trainer;
  Texts texts;  ///< tokenizer and so on: companion_texts() of the checkpoint that training began with
};

/// A checkpoint file that is about to be written: /model as in a file of m2-convert (norms in float32, as the model
/// computes with them), /optimizer/<name> for each state, /trainer, and the texts. Datasets lie in the order of the
/// parameters, each parameter's weight before its states.
class CheckpointWrite {
 public:
  /// Waits for `exec`, where the model is computed, and copies vectors, texts and the trainer's state; matrices and
  /// states are read where they are while the file is written. Throws Error for a state whose name does not begin with
  /// that of a parameter, and for a model that is not complete in this process.
  CheckpointWrite(const TrainingState& state, const ExecSpace& exec);

  /// Of all tensors.
  std::uint64_t bytes() const;

  /// Writes the file, which appears under its name when it is complete and on the disk. `released(n)` is called when
  /// the memory of the first n parameters and of their states is not needed any more. What is on a GPU is copied
  /// through a buffer of 8 MiB, on an instance of its own; on hosts nothing is copied but rows out of panels.
  ///
  /// Returns false if there is a file already that has the same tensors, bit by bit: it stays. That is what a run meets
  /// that was killed after a save and repeats the steps. Throws Error, and leaves what was there alone, if there is one
  /// with other tensors, when the disk is full, and for every other failure. Only a damaged file is replaced. Stop
  /// signals are left alone.
  bool write(const std::string& path, const std::function<void(std::size_t)>& released) const;

 private:
  struct Item {
    StoredTensor tensor;
    std::size_t parameter;
    const std::byte* state;  // in MemorySpace; nullptr for a tensor of the model
  };
  using Hashes = std::vector<std::vector<std::uint64_t>>;

  std::span<const std::byte> piece(const Item& item, std::uint64_t byte_offset, std::span<std::byte> staging) const;
  bool is_kept(const std::string& path, const Hashes& hashes) const;

  ExecSpace copies_;
  ModelSource model_;
  Texts texts_;
  std::vector<Item> items_;  // in the order of the parameters
};

}  // namespace m2
