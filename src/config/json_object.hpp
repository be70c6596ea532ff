// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace m2 {

/// Throws Error "<source>: key '<key>': found <found>, expected <expected>".
[[noreturn]] void refuse_key(const std::string& source, std::string_view key, std::string_view found,
                             std::string_view expected);

/// A JSON object read from a foreign file, and its keys as typed values. `null` counts as absent everywhere.
/// Each accessor throws Error naming source, key, found and expected value.
class JsonObject {
 public:
  /// Throws Error unless `text` is one JSON object without duplicate keys and of reasonable size and depth.
  static JsonObject parse(std::string_view text, const std::string& source);

  const nlohmann::ordered_json& json() const { return json_; }
  bool has(std::string_view key) const { return value(key) != nullptr; }
  /// nullptr if absent or null.
  const nlohmann::ordered_json* value(std::string_view key) const;

  std::optional<std::int64_t> find_whole(std::string_view key, std::int64_t min, std::int64_t max) const;
  std::optional<double> find_real(std::string_view key, double min, double max) const;
  std::optional<bool> find_bool(std::string_view key) const;
  std::optional<std::string> find_string(std::string_view key) const;
  /// An absent list is empty.
  std::vector<std::string> strings(std::string_view key) const;
  /// One number or a list of numbers; absent is empty.
  std::vector<int> whole_or_list(std::string_view key, int min, int max) const;
  std::optional<JsonObject> find_object(std::string_view key) const;

  /// As find_...(), but an absent key is an Error.
  std::int64_t whole(std::string_view key, std::int64_t min, std::int64_t max) const;
  double real(std::string_view key, double min, double max) const;

  /// The error of a key whose value is of the right type but cannot be honoured, or is missing.
  [[noreturn]] void refuse(std::string_view key, std::string_view expected) const;

 private:
  JsonObject(nlohmann::ordered_json json, std::string source, std::string prefix)
      : json_(std::move(json)), source_(std::move(source)), prefix_(std::move(prefix)) {}

  nlohmann::ordered_json json_;
  std::string source_, prefix_;
};

}  // namespace m2
