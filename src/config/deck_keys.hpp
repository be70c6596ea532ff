// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/deck.hpp"
#include "config/yaml_reader.hpp"

namespace m2 {

/// One key of a deck. The table of them is the only place that knows which keys there are: it reads, checks and prints.
struct DeckKey {
  std::string path;       ///< "batch.max_tokens"; without a section: "job"
  std::vector<Job> jobs;  ///< that have this key
  std::string meaning;    ///< with the unit
  std::string expected;   ///< "a whole number >= 1"
  /// Stores a value; false if it is not as expected.
  std::function<bool(const YamlNode& value, Deck& deck)> read = {};
  /// The value as YAML.
  std::function<std::string(const Deck& deck)> print = {};
  bool is_text = false;      ///< on the command line it is taken as it stands
  bool required = false;     ///< has no default
  std::string example = {};  ///< printed in place of the default
  /// Of a value that is a path or several: what is done with them, and those that are set.
  std::optional<PathUse> path_use = {};
  std::function<std::vector<std::string>(const Deck& deck)> paths = {};
};

/// All keys but those of the section `moe`, which MoEConfig knows; in the order in which they are printed. Of those
/// with one path, each has other jobs.
const std::vector<DeckKey>& deck_keys();

}  // namespace m2
