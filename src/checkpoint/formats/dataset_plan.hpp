// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "checkpoint/stored_tensor.hpp"
#include "io/hdf5.hpp"

namespace m2 {

/// Where a tensor is in a checkpoint file: "/model/<name>" for one of the model, its name for one that has a path as
/// its name ("/optimizer/norm/master").
std::string dataset_path(const StoredTensor& tensor);

/// The dataset that holds it.
Hdf5DatasetPlan dataset_plan(const StoredTensor& tensor);

}  // namespace m2
