// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "checkpoint/tensor_source.hpp"
#include "comm/communicator.hpp"

namespace m2 {

/// Opens an HDF5 checkpoint or a Hugging Face folder. Throws Error naming the first ten tensors that are missing, not
/// known, or of another shape or dtype than the configuration asks for, with what was found and expected. With a
/// communicator it is collective, and rank 0 alone verifies an HDF5 file's manifest and asks libhdf5.
std::unique_ptr<TensorSource> open_checkpoint(const std::string& path, Communicator* world = nullptr);

}  // namespace m2
