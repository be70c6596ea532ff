// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "checkpoint/tensor_source.hpp"

namespace m2 {

/// What a checkpoint is: architecture, parameters, dtypes and bytes by kind of tensor, files that travel along, how
/// much there is beside the model. With `list_tensors`, also where each tensor lies.
std::string info_text(const TensorSource& source, bool list_tensors);

}  // namespace m2
