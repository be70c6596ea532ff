// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/weights/random_fill.hpp"
#include "model/parameter.hpp"

namespace m2 {

/// Fills a parameter with random numbers that depend on `seed`, its name and the element's place alone: the same for
/// any number of threads and ranks and in whatever order the parameters are filled.
void fill_normal(const ExecSpace& exec, std::uint64_t seed, const Parameter& parameter,
                 NormalDistribution distribution);

/// The same for local expert i of a stack, by its place in the whole stack.
void fill_normal_expert(const ExecSpace& exec, std::uint64_t seed, const Parameter& parameter, int i,
                        NormalDistribution distribution);

/// What a parameter of a model with random weights is stored as when its weights shall be `dtype`: FP8 only where a
/// checkpoint may hold FP8, `model_dtype` elsewhere.
DType initial_dtype(const Parameter& parameter, DType dtype, DType model_dtype);

/// Fills a vector with ones, or zeros.
void fill_ones(const ExecSpace& exec, const Parameter& parameter);
void fill_zeros(const ExecSpace& exec, const Parameter& parameter);

}  // namespace m2
