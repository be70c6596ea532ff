// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "config/minimax_m2_config.hpp"

namespace m2 {

/// The architecture in one line, because wrong ones circulate: layers, attention, rotary width, experts, vocabulary,
/// parameters.
std::string describe_model(const MiniMaxM2Config& config);

}  // namespace m2
