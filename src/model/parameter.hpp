// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/dtype.hpp"
#include "kernels/weights/weight.hpp"

namespace m2 {

/// One parameter of a model: where it lives and what a checkpoint must hold for it. Either `weight` (a matrix, or a
/// stack of them) or `vector` (always float32) is set.
struct Parameter {
  std::string name;                 ///< as in the HDF5 file below /model, for example "layers/3/attention/q_proj"
  std::vector<std::int64_t> shape;  ///< (out, in), (experts, out, in) or (width): what lies in this process
  Weight* weight = nullptr;
  View1D<float>* vector = nullptr;
  bool keep_float32 = false;  ///< the router: stored as float32 whatever the model's dtype is
  bool may_be_fp8 = false;    ///< an FP8 checkpoint may hold it as blocks with scales
  int num_row_parts = 1;      ///< matrices lying on top of one another (gate over up), each with FP8 blocks of its own
  std::vector<int> experts = {};  ///< of a stack: which of the model's experts lie here, ascending
  int num_experts = 0;            ///< of a stack: how many the model has
  bool may_be_panels = false;     ///< nothing but gemm and grouped_gemm reads it, with a provider that takes panels

  /// The shape in a checkpoint, which holds every expert.
  std::vector<std::int64_t> global_shape() const;

  /// How a weight of `dtype` lies in memory when the model runs.
  WeightLayout layout(DType dtype) const;

  /// Gives the weight memory of `dtype`, uninitialised; `layout`: how it will be filled.
  void allocate(const ExecSpace& exec, DType dtype, WeightLayout layout = WeightLayout::rows);
  /// Gives the weight dtype and shape without memory, for workspace_bytes() of a model that is not loaded yet.
  void set_dtype(DType dtype);
  /// Bytes it takes as `dtype`, block scales included.
  std::int64_t storage_bytes(DType dtype) const;
};

}  // namespace m2
