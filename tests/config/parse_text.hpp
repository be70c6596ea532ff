// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "config/deck.hpp"
#include "core/error.hpp"

namespace m2 {

inline Deck parse(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return parse_deck(text, "deck.yaml", overrides);
}

/// What is said of a deck that is refused.
inline std::string message_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    parse(text, overrides);
  } catch (const UsageError& e) {
    return e.what();
  }
  return "accepted";
}

}  // namespace m2
