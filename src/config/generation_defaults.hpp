// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace m2 {

/// What generation_config.json suggests; unset where it says nothing. Its eos_token_id goes before config.json's.
/// Its bos_token_id may be a role marker (200019 in MiniMax-M2): never prepend it to a prompt.
struct GenerationDefaults {
  std::optional<bool> do_sample;
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<int> top_k;
  std::optional<int> bos_token_id;
  std::vector<int> eos_token_id;

  /// `source` is the name of the file in messages. Throws Error naming source, key, found and allowed values.
  static GenerationDefaults from_json(std::string_view text, const std::string& source);

  bool operator==(const GenerationDefaults&) const = default;
};

}  // namespace m2
