// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "checkpoint/slab_reader.hpp"
#include "checkpoint/tensor_sink.hpp"
#include "checkpoint/tensor_source.hpp"
#include "core/views.hpp"

namespace m2 {

/// Copies one slab to the sink's tensor `to` as it is, and verifies its hash on the way.
void copy_slab(const TensorSource& source, const Slab& from, ReadWatch watch, TensorSink& sink, std::size_t to);

/// Converts one slab, in float32 in between, to the dtype of planned[to]; the scales of an FP8 weight that is made go
/// to planned[to + 1]. Throws Error naming the tensor when a value cannot be quantised.
void convert_slab(const HostExecSpace& exec, const TensorSource& source, const Slab& from, ReadWatch watch,
                  TensorSink& sink, std::size_t to, const std::vector<StoredTensor>& planned);

}  // namespace m2
