// SPDX-License-Identifier: Apache-2.0
#include "io/json_number.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace m2 {

nlohmann::ordered_json json_number(float value) {
  if (!std::isfinite(value)) return nullptr;
  std::array<char, 32> text{};
  std::to_chars(text.data(), text.data() + text.size() - 1, value);
  return std::strtod(text.data(), nullptr);
}

}  // namespace m2
