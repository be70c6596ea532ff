// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "checkpoint/tensor_source.hpp"
#include "core/views.hpp"
#include "train/checkpoint/state_tensor.hpp"

namespace m2 {

// Reading a checkpoint of a training run. open_checkpoint() opens it like any other; load_parameters() and
// from_pretrained() fill the model.

/// Where the trainer's state is in the file; no file of a Hugging Face folder.
inline constexpr TextFile kTrainerText{"trainer.json", "/trainer"};

/// What the trainer wrote down. Throws Error unless `source` is a checkpoint of a training run, and for altered bytes.
TrainerState read_trainer_state(const TensorSource& source);

/// Overwrites the memory of `tensors` with what the checkpoint holds under their names; hashes are verified. Throws
/// Error, before anything is written, unless they are exactly the tensors in the file, each once, with the file's
/// dtypes and shapes: the first ten defects and their number. Throws Error for altered bytes; then some of the memory
/// was overwritten.
void load_state(const TensorSource& source, std::span<const StateTensor> tensors, const ExecSpace& exec);

}  // namespace m2
