// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace m2 {

/// Parses JSON from foreign hands. Throws Error, which begins with `where`, for invalid JSON or UTF-8, a key given
/// twice in one object and nesting deeper than 100, on which recursive code elsewhere could exhaust the stack.
nlohmann::json parse_strict_json(std::string_view text, const std::string& where);

/// "at byte 12: syntax error ...": what the parser has to say, shortened where it repeats the input at length.
std::string json_reason(const nlohmann::json::exception& error);

}  // namespace m2
