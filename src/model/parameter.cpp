// SPDX-License-Identifier: Apache-2.0
#include "model/parameter.hpp"

#include <algorithm>
#include <functional>
#include <iterator>
#include <numeric>
#include <utility>

namespace m2 {
namespace {

// Of the matrices that are here: a single one is a stack of one.
struct Extents {
  int num_matrices, num_rows, num_columns;
};

Extents extents(const Parameter& parameter) {
  const std::vector<std::int64_t> shape = parameter.local_shape();
  return {shape.size() == 3 ? int(shape[0]) : 1, int(shape.end()[-2]), int(shape.end()[-1])};
}

std::int64_t product(const std::vector<std::int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

}  // namespace

std::vector<std::int64_t> Parameter::local_shape() const {
  std::vector<std::int64_t> shape = schema.shape;
  if (schema.is_expert_stack()) shape[0] = std::ssize(experts);
  return shape;
}

WeightLayout Parameter::layout(DType dtype) const {
  if (!may_be_panels) return WeightLayout::rows;
  const auto [num_matrices, num_rows, num_columns] = extents(*this);
  return panels_fit(dtype, num_rows, num_columns, schema.num_row_parts) ? WeightLayout::panels : WeightLayout::rows;
}

void Parameter::allocate(const ExecSpace& exec, DType dtype, WeightLayout layout) {
  const std::string label = "m2::" + name();
  if (vector) {
    *vector = View1D<float>(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, label), schema.shape[0]);
    return;
  }
  const auto [num_matrices, num_rows, num_columns] = extents(*this);
  *weight = Weight::allocate(exec, dtype, num_matrices, num_rows, num_columns, label, schema.num_row_parts, layout);
}

void Parameter::set_dtype(DType dtype) {
  if (vector) return;
  const auto [num_matrices, num_rows, num_columns] = extents(*this);
  *weight = Weight::without_memory(dtype, num_matrices, num_rows, num_columns);
}

void Parameter::allocate_gradient(const ExecSpace& exec) {
  const std::vector<std::int64_t> shape = local_shape();
  const std::int64_t num_matrices = schema.is_expert_stack() ? shape[0] : 1;
  const std::int64_t num_rows = vector ? 1 : shape.end()[-2];
  *gradient =
      View3D<float>(Kokkos::view_alloc(exec, "m2::gradient of " + name()), num_matrices, num_rows, shape.back());
}

std::int64_t Parameter::storage_bytes(DType dtype) const {
  const std::vector<std::int64_t> shape = local_shape();
  const std::int64_t bytes = product(shape) * std::int64_t(size_bytes(dtype));
  if (dtype != DType::float8_e4m3fn) return bytes;
  return bytes + product(scale_shape(shape, schema.num_row_parts)) * std::int64_t(sizeof(float));
}

void append(std::vector<Parameter>& list, std::vector<Parameter> more) {
  std::ranges::move(more, std::back_inserter(list));
}

}  // namespace m2
