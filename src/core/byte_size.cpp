// SPDX-License-Identifier: Apache-2.0
#include "core/byte_size.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>

#include "core/error.hpp"

namespace m2 {
namespace {

constexpr std::string_view kPrefixes = "kmgtp";

// The factor of "", "b", "kb", "kib", "k", "gb", ...
std::optional<double> unit_factor(std::string unit) {
  std::transform(unit.begin(), unit.end(), unit.begin(), [](unsigned char c) { return std::tolower(c); });
  if (unit.empty() || unit == "b") return 1.0;
  const std::size_t prefix = kPrefixes.find(unit[0]);
  if (prefix == std::string_view::npos) return std::nullopt;
  const double power = double(prefix + 1);
  const std::string rest = unit.substr(1);
  if (rest.empty() || rest == "b") return std::pow(1000.0, power);
  if (rest == "ib") return std::pow(1024.0, power);
  return std::nullopt;
}

}  // namespace

std::string byte_size_text(std::uint64_t bytes) {
  constexpr std::array kUnits{"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  double value = double(bytes);
  std::size_t unit = 0;
  while (value >= 999.95 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::uint64_t parse_byte_size(std::string_view text, std::string_view what) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  std::string_view unit = text.substr(std::size_t(end - text.data()));
  unit.remove_prefix(std::min(unit.find_first_not_of(' '), unit.size()));
  const std::optional<double> factor = unit_factor(std::string(unit));
  const double bytes = number * factor.value_or(0);
  if (error != std::errc{} || !factor || !(bytes >= 1 && bytes < 0x1p63)) {
    raise_usage("{} is '{}', expected a size such as 5GB, 512MiB or 4096 (bytes)", what, text);
  }
  return std::uint64_t(bytes);
}

}  // namespace m2
