// SPDX-License-Identifier: Apache-2.0
#include "text/python_json.hpp"

#include <array>
#include <charconv>
#include <string_view>

#include "core/error.hpp"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMaxDepth = 500;  // the recursion needs stack; Python stops near 1000

// Python's float.__repr__: the shortest digits that read back, in positional form for exponents from -4 to 15.
std::string python_float(double number) {
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.begin(), buffer.end(), number, std::chars_format::scientific).ptr;
  const std::string_view text(buffer.data(), end);
  const std::size_t exponent_mark = text.find('e');
  int exponent = 0;
  const char* exponent_digits = text.data() + exponent_mark + (text[exponent_mark + 1] == '+' ? 2 : 1);
  std::from_chars(exponent_digits, end, exponent);
  if (exponent < -4 || exponent >= 16) return std::string(text);

  const std::string sign = text[0] == '-' ? "-" : "";
  std::string digits;
  for (const char c : text.substr(0, exponent_mark)) {
    if (c != '.' && c != '-') digits += c;
  }
  if (exponent < 0) return sign + "0." + std::string(-exponent - 1, '0') + digits;
  const std::size_t whole_digits = exponent + 1;
  if (digits.size() < whole_digits) digits.append(whole_digits - digits.size(), '0');
  const std::string fraction = digits.substr(whole_digits);
  return sign + digits.substr(0, whole_digits) + "." + (fraction.empty() ? "0" : fraction);
}

void append(const Json& value, int depth, std::string& out) {
  M2_REQUIRE(depth <= kMaxDepth, "a JSON value is nested deeper than {} levels; make it flatter", kMaxDepth);
  const char* separator = "";
  if (value.is_object()) {
    out += '{';
    for (const auto& [key, element] : value.items()) {
      out += separator + Json(key).dump() + ": ";
      append(element, depth + 1, out);
      separator = ", ";
    }
    out += '}';
  } else if (value.is_array()) {
    out += '[';
    for (const Json& element : value) {
      out += separator;
      append(element, depth + 1, out);
      separator = ", ";
    }
    out += ']';
  } else if (value.is_number_float()) {
    out += python_float(value.get<double>());
  } else {
    out += value.dump();
  }
}

}  // namespace

std::string python_json(const Json& value) {
  std::string out;
  append(value, 0, out);
  return out;
}

}  // namespace m2
