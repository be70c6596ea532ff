// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace m2 {

/// Bounds on what a hostile text can cost: recursive code elsewhere could exhaust the stack, and looking up a key of an
/// ordered object takes time that grows with the number of keys.
struct JsonLimits {
  int max_depth = 100;
  std::size_t max_keys = std::numeric_limits<std::size_t>::max();  ///< of all objects together
};

/// Parses JSON from foreign hands, as nlohmann::json or as nlohmann::ordered_json, which keeps the order of keys.
/// Throws Error, which begins with `where`, for invalid JSON or UTF-8, a key given twice in one object and more than
/// the limits allow.
template <class Json = nlohmann::json>
Json parse_strict_json(std::string_view text, const std::string& where, const JsonLimits& limits = {});

/// The value if it is a whole number in [min, max]; nothing for 0.7, 1.0, true, "1" and numbers out of range, which
/// nlohmann::json would all convert.
template <class Json>
std::optional<std::int64_t> whole_number(const Json& value, std::int64_t min, std::int64_t max);

/// "at byte 12: syntax error ...": what the parser has to say, shortened where it repeats the input at length. With the
/// parsed `text`, a place after its first line is "at line 3, column 5".
std::string json_reason(const nlohmann::json::exception& error, std::string_view text = {});

/// A value as a message shows it: as JSON, in ASCII, cut after 60 characters.
template <class Json>
std::string json_excerpt(const Json& value);

}  // namespace m2
