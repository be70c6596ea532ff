// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "config/minimax_m2_config.hpp"

namespace m2 {

/// The architecture in one line, because wrong ones circulate: layers, attention, rotary width, experts, vocabulary,
/// parameters.
std::string describe_model(const MiniMaxM2Config& config);

/// "1 prompt", "3 prompts".
std::string counted(std::int64_t count, std::string_view noun);

/// "228.7 billion", "2.7 million", "384".
std::string count_text(std::int64_t count);

}  // namespace m2
