// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace m2 {

/// "1 prompt", "3 prompts".
std::string counted(std::int64_t count, std::string_view noun);

/// "228.7 billion", "2.7 million", "384".
std::string count_text(std::int64_t count);

}  // namespace m2
