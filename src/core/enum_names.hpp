// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "core/error.hpp"

namespace m2 {

/// The words of an enum's values in files, in the order of the values. Specialised next to each enum.
template <class E>
inline constexpr std::array<std::string_view, 0> kEnumNames{};

template <class E>
concept NamedEnum = kEnumNames<E>.size() > 0;

/// The word of a value: name(ScoringFunc::sigmoid) == "sigmoid".
template <NamedEnum E>
constexpr std::string_view name(E value) {
  return kEnumNames<E>[std::size_t(value)];
}

/// "sigmoid, softmax"
template <NamedEnum E>
std::string allowed_names() {
  std::string list;
  for (const std::string_view word : kEnumNames<E>) list.append(list.empty() ? "" : ", ").append(word);
  return list;
}

/// The inverse of name(). Throws Error listing the allowed words.
template <NamedEnum E>
E parse_enum(std::string_view word) {
  for (std::size_t i = 0; i < kEnumNames<E>.size(); ++i) {
    if (kEnumNames<E>[i] == word) return E(i);
  }
  raise("'{}' is not one of {}", word, allowed_names<E>());
}

}  // namespace m2
