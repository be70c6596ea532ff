// SPDX-License-Identifier: Apache-2.0
#include "config/json_object.hpp"

#include <fmt/format.h>

#include <utility>

#include "core/error.hpp"
#include "io/strict_json.hpp"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

// Published files have under 60 keys and three levels.
constexpr std::size_t kMaxSizeBytes = 4 << 20;
constexpr JsonLimits kLimits{.max_depth = 32, .max_keys = 10000};

}  // namespace

void refuse_key(const std::string& source, std::string_view key, std::string_view found, std::string_view expected) {
  raise("{}: key '{}': found {}, expected {}", source, key, found, expected);
}

JsonObject JsonObject::parse(std::string_view text, const std::string& source) {
  M2_REQUIRE(text.size() <= kMaxSizeBytes, "{}: {} bytes; a configuration has at most {}", source, text.size(),
             kMaxSizeBytes);
  Json json = parse_strict_json<Json>(text, source, kLimits);
  M2_REQUIRE(json.is_object(), "{}: found {}, expected a JSON object", source, json_excerpt(json));
  return {std::move(json), source, ""};
}

const Json* JsonObject::value(std::string_view key) const {
  const auto found = json_.find(key);
  return found == json_.end() || found->is_null() ? nullptr : &*found;
}

void JsonObject::refuse(std::string_view key, std::string_view expected) const {
  const std::string path = prefix_ + std::string(key);
  if (const Json* found = value(key)) refuse_key(source_, path, json_excerpt(*found), expected);
  raise("{}: key '{}' is missing, expected {}", source_, path, expected);
}

std::optional<std::int64_t> JsonObject::find_whole(std::string_view key, std::int64_t min, std::int64_t max) const {
  const Json* found = value(key);
  if (!found) return std::nullopt;
  const auto number = whole_number(*found, min, max);
  if (!number) refuse(key, fmt::format("a whole number from {} to {}", min, max));
  return number;
}

std::optional<double> JsonObject::find_real(std::string_view key, double min, double max) const {
  const Json* found = value(key);
  if (!found) return std::nullopt;
  const bool in_range = found->is_number() && found->get<double>() >= min && found->get<double>() <= max;
  if (!in_range) refuse(key, fmt::format("a number from {} to {}", min, max));
  return found->get<double>();
}

std::optional<bool> JsonObject::find_bool(std::string_view key) const {
  const Json* found = value(key);
  if (!found) return std::nullopt;
  if (!found->is_boolean()) refuse(key, "true or false");
  return found->get<bool>();
}

std::optional<std::string> JsonObject::find_string(std::string_view key) const {
  const Json* found = value(key);
  if (!found) return std::nullopt;
  if (!found->is_string()) refuse(key, "a string");
  return found->get<std::string>();
}

std::vector<std::string> JsonObject::strings(std::string_view key) const {
  std::vector<std::string> list;
  const Json* found = value(key);
  if (!found) return list;
  if (!found->is_array()) refuse(key, "a list of strings");
  for (const Json& item : *found) {
    if (!item.is_string()) refuse(key, "a list of strings");
    list.push_back(item.get<std::string>());
  }
  return list;
}

std::vector<int> JsonObject::whole_or_list(std::string_view key, int min, int max) const {
  std::vector<int> list;
  const Json* found = value(key);
  if (!found) return list;
  const Json items = found->is_array() ? *found : Json::array({*found});
  for (const Json& item : items) {
    const auto number = whole_number(item, min, max);
    if (!number) refuse(key, fmt::format("a whole number from {} to {}, or a list of them", min, max));
    list.push_back(int(*number));
  }
  return list;
}

std::optional<JsonObject> JsonObject::find_object(std::string_view key) const {
  const Json* found = value(key);
  if (!found) return std::nullopt;
  if (!found->is_object()) refuse(key, "an object");
  return JsonObject(*found, source_, prefix_ + std::string(key) + ".");
}

std::int64_t JsonObject::whole(std::string_view key, std::int64_t min, std::int64_t max) const {
  if (!has(key)) refuse(key, fmt::format("a whole number from {} to {}", min, max));
  return *find_whole(key, min, max);
}

double JsonObject::real(std::string_view key, double min, double max) const {
  if (!has(key)) refuse(key, fmt::format("a number from {} to {}", min, max));
  return *find_real(key, min, max);
}

}  // namespace m2
