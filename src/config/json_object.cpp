// SPDX-License-Identifier: Apache-2.0
#include "config/json_object.hpp"

#include <limits>
#include <set>
#include <utility>

#include "core/error.hpp"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

// Published files have under 60 keys and three levels. The limits keep a hostile file from costing time (key look-up in
// an ordered object is linear) or stack (dump() is recursive).
constexpr std::size_t kMaxSizeBytes = 4 << 20;
constexpr std::size_t kMaxKeys = 10000;
constexpr int kMaxDepth = 32;

/// Watches the parser: refuses what nlohmann-json would accept silently.
class ParseGuard {
 public:
  explicit ParseGuard(const std::string& source) : source_(source) {}

  bool operator()(int depth, Json::parse_event_t event, const Json& parsed) {
    M2_REQUIRE(depth <= kMaxDepth, "{}: nested deeper than {} levels", source_, kMaxDepth);
    if (event == Json::parse_event_t::object_start) keys_.emplace_back();
    if (event == Json::parse_event_t::object_end) keys_.pop_back();
    if (event == Json::parse_event_t::key) {
      M2_REQUIRE(++num_keys_ <= kMaxKeys, "{}: more than {} keys", source_, kMaxKeys);
      const auto& key = parsed.get_ref<const std::string&>();
      M2_REQUIRE(keys_.back().insert(key).second, "{}: key '{}' is given twice", source_, key);
    }
    return true;
  }

 private:
  const std::string& source_;
  std::vector<std::set<std::string>> keys_;
  std::size_t num_keys_ = 0;
};

/// A value as it is shown in a message: long ones are cut.
std::string shown(const Json& value) {
  constexpr std::size_t kMaxShown = 60;
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true);
  if (text.size() > kMaxShown) text = text.substr(0, kMaxShown) + "...";
  return text;
}

/// True if `value` is a whole number in the range; what does not fit 64 bits is no whole number.
bool is_whole(const Json& value, std::int64_t min, std::int64_t max) {
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned() &&
      value.get<std::uint64_t>() > std::uint64_t(std::numeric_limits<std::int64_t>::max()))
    return false;
  const auto number = value.get<std::int64_t>();
  return number >= min && number <= max;
}

}  // namespace

void refuse_key(const std::string& source, std::string_view key, std::string_view found, std::string_view expected) {
  raise("{}: key '{}': found {}, expected {}", source, key, found, expected);
}

JsonObject JsonObject::parse(std::string_view text, const std::string& source) {
  M2_REQUIRE(text.size() <= kMaxSizeBytes, "{}: {} bytes; a configuration has at most {}", source, text.size(),
             kMaxSizeBytes);
  Json json;
  try {
    json = Json::parse(text, ParseGuard(source));
  } catch (const Json::exception& e) {
    const std::string_view what = e.what();  // "[json.exception.parse_error.101] parse error at line 1, ..."
    raise("{}: not valid JSON: {}", source, what.substr(std::min(what.find("] ") + 2, what.size())));
  }
  M2_REQUIRE(json.is_object(), "{}: found {}, expected a JSON object", source, shown(json));
  return {std::move(json), source, ""};
}

const Json* JsonObject::value(std::string_view key) const {
  const auto found = json_.find(key);
  return found == json_.end() || found->is_null() ? nullptr : &*found;
}

void JsonObject::refuse(std::string_view key, std::string_view expected) const {
  const std::string path = prefix_ + std::string(key);
  if (const Json* found = value(key)) refuse_key(source_, path, shown(*found), expected);
  raise("{}: key '{}' is missing, expected {}", source_, path, expected);
}

std::optional<std::int64_t> JsonObject::find_whole(std::string_view key, std::int64_t min, std::int64_t max) const {
  const Json* found = value(key);
  if (!found) return std::nullopt;
  if (!is_whole(*found, min, max)) refuse(key, fmt::format("a whole number from {} to {}", min, max));
  return found->get<std::int64_t>();
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
    if (!is_whole(item, min, max))
      refuse(key, fmt::format("a whole number from {} to {}, or a list of them", min, max));
    list.push_back(item.get<int>());
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
