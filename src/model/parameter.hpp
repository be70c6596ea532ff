// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/dtype.hpp"
#include "kernels/gemm/low_rank.hpp"
#include "kernels/weights/weight.hpp"
#include "model/parameter_schema.hpp"

namespace m2 {

/// A parameter of a model in this process: what it is, and where its numbers are. Either `weight` (a matrix, or a stack
/// of them) or `vector` (always float32) is set.
struct Parameter {
  ParameterSchema schema;
  Weight* weight = nullptr;
  View1D<float>* vector = nullptr;
  /// Where its gradient is while it is trained: (matrices here, rows, columns), of a vector (1, 1, width), float32 and
  /// in rows however the weight lies; without elements while it is not. nullptr: no gradient reaches it.
  View3D<float>* gradient = nullptr;
  LowRankAdapter* adapter = nullptr;  ///< where the adapter beside it lies, if there is one; nullptr: it takes none
  std::vector<int> experts = {};      ///< of an expert stack: which of the model's are here, ascending
  bool may_be_panels = false;         ///< nothing but gemm and grouped_gemm reads it, with a provider that takes panels

  const std::string& name() const { return schema.name; }
  /// The schema's shape, with as many experts as are here.
  std::vector<std::int64_t> local_shape() const;
  /// What it is held in; it must have memory, or a dtype by set_dtype().
  DType dtype() const { return weight ? weight->dtype() : DType::float32; }

  /// How a weight of `dtype` lies in memory when the model runs.
  WeightLayout layout(DType dtype) const;

  /// Gives the parameter memory of `dtype`, which held_dtype() says, uninitialised; `layout`: how it will be filled.
  void allocate(const ExecSpace& exec, DType dtype, WeightLayout layout = WeightLayout::rows);
  /// Gives the weight dtype and shape without memory, for workspace_bytes() of a model that is not loaded yet.
  void set_dtype(DType dtype);
  /// Gives the gradient memory, all zero.
  void allocate_gradient(const ExecSpace& exec);
  /// Bytes it takes in this process as `dtype`, block scales included.
  std::int64_t storage_bytes(DType dtype) const;
};

/// Adds the parameters of a part of a model to those before it.
void append(std::vector<Parameter>& list, std::vector<Parameter> more);

}  // namespace m2
