// SPDX-License-Identifier: Apache-2.0
#include "model/parameter.hpp"

namespace m2 {
namespace {

struct Extents {
  std::int64_t num_matrices, num_rows, num_columns;
};

Extents extents(const Parameter& parameter) {
  const auto& shape = parameter.shape;
  return shape.size() == 3 ? Extents{shape[0], shape[1], shape[2]} : Extents{1, shape[0], shape[1]};
}

}  // namespace

std::vector<std::int64_t> Parameter::global_shape() const {
  std::vector<std::int64_t> global = shape;
  if (global.size() == 3) global[0] = num_experts;
  return global;
}

WeightLayout Parameter::layout(DType dtype) const {
  if (!may_be_panels || keep_float32) return WeightLayout::rows;
  const auto [num_matrices, num_rows, num_columns] = extents(*this);
  return panels_fit(dtype, int(num_rows), int(num_columns), num_row_parts) ? WeightLayout::panels : WeightLayout::rows;
}

void Parameter::allocate(const ExecSpace& exec, DType dtype, WeightLayout layout) {
  if (vector) {
    *vector = View1D<float>(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, "m2::" + name), shape[0]);
    return;
  }
  const auto [num_matrices, num_rows, num_columns] = extents(*this);
  *weight = Weight::allocate(exec, keep_float32 ? DType::float32 : dtype, int(num_matrices), int(num_rows),
                             int(num_columns), "m2::" + name, num_row_parts, layout);
}

void Parameter::set_dtype(DType dtype) {
  if (vector) return;
  const auto [num_matrices, num_rows, num_columns] = extents(*this);
  *weight =
      Weight::without_memory(keep_float32 ? DType::float32 : dtype, int(num_matrices), int(num_rows), int(num_columns));
}

std::int64_t Parameter::storage_bytes(DType dtype) const {
  if (vector) return shape[0] * std::int64_t(sizeof(float));
  const auto [num_matrices, num_rows, num_columns] = extents(*this);
  const std::int64_t values = num_matrices * num_rows * num_columns;
  const DType stored = keep_float32 ? DType::float32 : dtype;
  const std::int64_t scales =
      stored == DType::float8_e4m3fn
          ? num_matrices * Weight::num_scale_rows(num_rows, num_row_parts) * Weight::num_scale_columns(num_columns)
          : 0;
  return values * std::int64_t(size_bytes(stored)) + scales * std::int64_t(sizeof(float));
}

}  // namespace m2
