// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/stored_tensor.hpp"

#include <utility>

#include "checkpoint/name_map.hpp"
#include "core/error.hpp"

namespace m2 {

std::vector<std::int64_t> StoredTensor::part_shape() const {
  if (!is_expert_stack()) return shape;
  return {shape[1] / num_row_parts, shape[2]};
}

StoredTensor stored_tensor(ParameterSchema schema, DType dtype) {
  std::vector<std::string> parts = published_names(schema);
  return {std::move(schema), dtype, /*is_scale=*/false, std::move(parts)};
}

StoredTensor scales_of(const StoredTensor& weight) {
  M2_REQUIRE(weight.may_be_fp8() && !weight.is_scale, "'{}' cannot be stored as FP8 blocks", weight.name);
  StoredTensor scales = weight;
  scales.name += "_scale_inv";
  scales.shape = scale_shape(weight.shape, weight.num_row_parts);
  scales.dtype = DType::float32;
  scales.is_scale = true;
  scales.slab_hashes.clear();
  for (std::string& part : scales.parts) part += "_scale_inv";
  return scales;
}

void append_with_scales(std::vector<StoredTensor>& list, StoredTensor tensor) {
  list.push_back(std::move(tensor));
  if (list.back().dtype == DType::float8_e4m3fn) list.push_back(scales_of(list.back()));
}

}  // namespace m2
