// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "config/deck.hpp"

namespace m2 {

/// Where each key that was given got its value: "deck.yaml:12" or "command line".
using KeyPlaces = std::map<std::string, std::string>;

/// What the keys of a train job must be to one another. Throws UsageError for the first pair that contradicts, with the
/// place, what was found and what was expected; `source` is the place of keys that are missing.
void require_training_rules(const Deck& deck, const KeyPlaces& places, const std::string& source);

}  // namespace m2
