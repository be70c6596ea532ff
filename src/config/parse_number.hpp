// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace m2 {

/// The number that the whole of `text` spells in decimal; nothing if it is none, or too large for the type.
std::optional<std::int64_t> parse_whole(std::string_view text);

/// As parse_whole(); "inf" and "nan" are no numbers.
std::optional<double> parse_real(std::string_view text);

/// "true" or "false", nothing else.
std::optional<bool> parse_bool(std::string_view text);

}  // namespace m2
