// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace m2 {

/// A value of a YAML text. Only what a deck needs: no anchors, no tags, keys are words.
struct YamlNode {
  enum class Kind { null, scalar, list, map };

  Kind kind = Kind::null;
  std::string text;             ///< of a scalar
  bool quoted = false;          ///< a scalar in quotes or a block is text, whatever it looks like
  int line = 0;                 ///< counted from 1
  std::vector<YamlNode> items;  ///< of a list; the values of a map
  std::vector<YamlNode> keys;   ///< of a map, in the order of the text
};

/// "'many'", "a list", "nothing": a value as a message shows it.
std::string describe(const YamlNode& node);

/// Parses one YAML document. `source` is the name of the file in messages. Throws UsageError "<source>:<line>: ..." for
/// anything but well-formed UTF-8 text of at most 256 KiB, for a key given twice, and for more than four levels.
YamlNode parse_yaml(std::string_view text, const std::string& source);

}  // namespace m2
