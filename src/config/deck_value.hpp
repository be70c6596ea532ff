// SPDX-License-Identifier: Apache-2.0
// The types a key of a deck can have: how each is read from YAML, and printed so that it reads back the same.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "config/parse_number.hpp"
#include "config/yaml_reader.hpp"
#include "core/enum_names.hpp"

namespace m2 {

/// The plain scalar of a node, or nullptr: a quoted "12" is text, not a number.
inline const std::string* plain_scalar(const YamlNode& node) {
  return node.kind == YamlNode::Kind::scalar && !node.quoted ? &node.text : nullptr;
}

/// Whole numbers and reals in [min, max].
template <class T>
struct NumberRange {
  T min, max;
};

template <class Limit, class T>
  requires std::is_arithmetic_v<T>
bool read_value(const YamlNode& node, const NumberRange<Limit>& range, T& out) {
  const std::string* text = plain_scalar(node);
  if (!text) return false;
  if constexpr (std::is_integral_v<T>) {
    const auto value = parse_whole(*text);
    if (!value || *value < range.min || *value > range.max) return false;
    out = T(*value);
  } else {
    const auto value = parse_real(*text);
    if (!value || *value < range.min || *value > range.max) return false;
    out = T(*value);
  }
  return true;
}

constexpr NumberRange<double> kBelowOne{0.0, 1.0 - std::numeric_limits<double>::epsilon() / 2};  // all below 1

struct AnyBool {};
inline bool read_value(const YamlNode& node, AnyBool, bool& out) {
  const std::string* text = plain_scalar(node);
  const auto value = text ? parse_bool(*text) : std::nullopt;
  if (value) out = *value;
  return value.has_value();
}

struct AnyWord {};
template <NamedEnum E>
bool read_value(const YamlNode& node, AnyWord, E& out) {
  if (node.kind != YamlNode::Kind::scalar) return false;
  for (std::size_t i = 0; i < kEnumNames<E>.size(); ++i) {
    if (kEnumNames<E>[i] != node.text) continue;
    out = E(i);
    return true;
  }
  return false;
}

struct NonEmptyText {};
inline bool read_value(const YamlNode& node, NonEmptyText, std::string& out) {
  if (node.kind != YamlNode::Kind::scalar || node.text.empty()) return false;
  out = node.text;
  return true;
}

template <class Check, class T>
bool read_value(const YamlNode& node, const Check& check, std::vector<T>& out) {
  if (node.kind != YamlNode::Kind::list) return false;
  std::vector<T> list(node.items.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!read_value(node.items[i], check, list[i])) return false;
  }
  out = std::move(list);
  return true;
}

/// Two numbers in `range`, the second larger than the first if `ascending`.
struct TwoNumbers {
  NumberRange<double> range;
  bool ascending;
};
inline bool read_value(const YamlNode& node, const TwoNumbers& check, std::vector<double>& out) {
  std::vector<double> pair;
  if (!read_value(node, check.range, pair) || pair.size() != 2) return false;
  if (check.ascending && !(pair[0] < pair[1])) return false;
  out = std::move(pair);
  return true;
}

/// `null` is "not set".
template <class Check, class T>
bool read_value(const YamlNode& node, const Check& check, std::optional<T>& out) {
  out.reset();
  if (node.kind == YamlNode::Kind::null) return true;
  T value{};
  if (!read_value(node, check, value)) return false;
  out = std::move(value);
  return true;
}

inline std::string print_value(std::int64_t value) { return fmt::format("{}", value); }
inline std::string print_value(int value) { return fmt::format("{}", value); }
inline std::string print_value(double value) { return nlohmann::json(value).dump(); }  // 1.0, not 1
inline std::string print_value(float value) { return nlohmann::json(value).dump(); }
inline std::string print_value(bool value) { return value ? "true" : "false"; }
inline std::string print_value(const std::string& value) { return nlohmann::json(value).dump(); }
template <NamedEnum E>
std::string print_value(E value) {
  return std::string(name(value));
}
template <class T>
std::string print_value(const std::vector<T>& list) {
  std::string text;
  for (const T& item : list) text += (text.empty() ? "" : ", ") + print_value(item);
  return "[" + text + "]";
}
template <class T>
std::string print_value(const std::optional<T>& value) {
  return value ? print_value(*value) : "null";
}

}  // namespace m2
