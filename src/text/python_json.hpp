// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace m2 {

/// The text of Python's json.dumps(value, ensure_ascii=False), which the chat template's `tojson` is: ", " and ": " as
/// separators, keys in order, floating-point numbers in Python's shortest form.
/// Throws Error for nesting deeper than 500 levels.
std::string python_json(const nlohmann::ordered_json& value);

}  // namespace m2
