// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/tensor_source.hpp"
#include "core/views.hpp"
#include "model/parameter.hpp"

namespace m2 {

/// The dtype a parameter is held in: float32 for vectors and the router, FP8 if it is stored so, bfloat16 for a model
/// that computes in bfloat16, and as stored for one that computes in float32.
DType storage_dtype(const Parameter& parameter, const StoredTensor& stored, DType compute_dtype);

/// Bytes that load_parameters() will allocate. Throws Error unless checkpoint and model have the same tensors.
std::int64_t parameter_bytes(const TensorSource& source, const std::vector<Parameter>& parameters, DType compute_dtype);

/// Allocates every parameter and reads it, several slabs at a time, straight into its memory on a host; hashes are
/// verified. Throws Error when the memory is too small, before anything is allocated, unless checkpoint and model have
/// the same tensors, and for an altered checkpoint.
void load_parameters(const TensorSource& source, std::vector<Parameter>& parameters, const ExecSpace& exec,
                     DType compute_dtype);

}  // namespace m2
