// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "config/minimax_m2_config.hpp"
#include "model/parameter_schema.hpp"

namespace m2 {

/// The tensors of a published (Hugging Face) checkpoint that a parameter is made of. Each is one contiguous piece of
/// it; the names are in storage order. An expert stack has those of expert 0 first; gate_up has two for each expert,
/// the gate's (`w1`) rows above the up projection's (`w3`). Throws Error for a name that no model has.
std::vector<std::string> published_names(const ParameterSchema& schema);

/// What config.json says of weights stored as FP8, as in the released checkpoints.
QuantizationConfig released_quantization();

}  // namespace m2
