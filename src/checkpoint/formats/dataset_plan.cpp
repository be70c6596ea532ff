// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/dataset_plan.hpp"

namespace m2 {

std::string dataset_path(const StoredTensor& tensor) {
  return tensor.name.starts_with('/') ? tensor.name : "/model/" + tensor.name;
}

Hdf5DatasetPlan dataset_plan(const StoredTensor& tensor) {
  return {.path = dataset_path(tensor), .dtype = tensor.dtype, .shape = tensor.shape, .num_slabs = tensor.num_slabs()};
}

}  // namespace m2
