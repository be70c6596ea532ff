// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace m2::test {

/// config.json of MiniMax-M2 (October 2025): the long dialect.
std::string m2_config_json();

/// config.json of MiniMax-M2.7: the short dialect.
std::string m2_7_config_json();

/// config.json of MiniMax-M2 as transformers 5 writes it.
std::string m2_v5_config_json();

/// A small model: the least keys that are accepted.
std::string small_config_json();

/// `json` with the top-level key set to the JSON text `value`; an empty `value` removes the key. "a.b" is a nested key.
std::string with_key(const std::string& json, const std::string& key, const std::string& value);

}  // namespace m2::test
