// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "text/tokenizer.hpp"

namespace m2::test {

/// A tokenizer.json small enough to know by heart: ids 0-255 are the bytes, 256 "he", 257 "ll", 258 "hell", 259 "Ġw";
/// 300 <think> and 301 ]~b] are added, the second one special; the pattern splits before spaces.
nlohmann::json tiny_tokenizer_json();

inline Tokenizer load(const nlohmann::json& json) { return Tokenizer::from_json(json.dump(), "tiny.json"); }

/// The message of the Error that loading throws; empty if it does not.
std::string load_error(const nlohmann::json& json);

/// The whole file tests/data/`path`.
std::string read_test_data(const std::string& path);

}  // namespace m2::test
