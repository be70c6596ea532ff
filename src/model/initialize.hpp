// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "model/parameter.hpp"

namespace m2 {

/// Fills a parameter, which must have memory, with NeMo AutoModel's distribution for its kind (facts in docs/model.md):
/// embedding normal with deviation 1, attention with 0.02 within 2, router and experts with 0.02, head with
/// 1 / sqrt(hidden) within three deviations; norms 1, selection bias 0. Each number depends on `seed`, the parameter's
/// name and the element's place in the whole model alone: the same for any number of threads and ranks and in whatever
/// order the parameters are filled.
void initialize_parameter(const ExecSpace& exec, std::uint64_t seed, const Parameter& parameter);

}  // namespace m2
