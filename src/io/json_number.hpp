// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

namespace m2 {

/// A float as the JSON number with the fewest digits that reads back as the same float; JSON has no infinity: null.
nlohmann::ordered_json json_number(float value);

}  // namespace m2
