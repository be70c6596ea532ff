// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "bench/result.hpp"

namespace m2 {

/// Times single operations at the sizes of MiniMax-M2, with activations of `dtype` (float32 or bfloat16) and weights of
/// the same and in FP8 blocks. Weights are taken in turn from stacks no cache should hold, as in a model; the experts
/// are the 32 of one of 8 ranks. Takes about 1 GB (float32: 2 GB) at a time.
std::vector<BenchCase> measure_operations(const ExecSpace& exec, DType dtype, int repeats);

}  // namespace m2
