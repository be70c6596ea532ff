// SPDX-License-Identifier: Apache-2.0
#include "io/strict_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>
#include <vector>

#include "core/error.hpp"

namespace m2 {
namespace {

constexpr std::size_t kMaxReasonBytes = 200;
constexpr std::size_t kMaxExcerptBytes = 60;

// Sees every event of the parser and refuses what nlohmann::json accepts silently.
template <class Json>
class ParseGuard {
 public:
  ParseGuard(const std::string& where, const JsonLimits& limits) : where_(where), limits_(limits) {}

  bool operator()(int depth, typename Json::parse_event_t event, const Json& value) {
    M2_REQUIRE(depth <= limits_.max_depth, "{}: JSON nested deeper than {} levels", where_, limits_.max_depth);
    if (event == Json::parse_event_t::object_start) {
      keys_of_open_objects_.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      keys_of_open_objects_.pop_back();
    } else if (event == Json::parse_event_t::key) {
      M2_REQUIRE(++num_keys_ <= limits_.max_keys, "{}: more than {} keys", where_, limits_.max_keys);
      const auto& key = value.template get_ref<const std::string&>();
      M2_REQUIRE(keys_of_open_objects_.back().insert(key).second, "{}: key '{}' is given twice", where_, key);
    }
    return true;
  }

 private:
  const std::string& where_;
  JsonLimits limits_;
  std::vector<std::unordered_set<std::string>> keys_of_open_objects_;
  std::size_t num_keys_ = 0;
};

// Of a byte counted from 1, as the parser counts.
std::string place_of(std::size_t byte, std::string_view text) {
  const std::string_view before = text.substr(0, std::min(text.size(), std::max<std::size_t>(byte, 1) - 1));
  const std::size_t newline = before.rfind('\n');
  if (newline == std::string_view::npos) return fmt::format("at byte {}: ", byte);
  return fmt::format("at line {}, column {}: ", 1 + std::ranges::count(before, '\n'), before.size() - newline);
}

}  // namespace

template <class Json>
Json parse_strict_json(std::string_view text, const std::string& where, const JsonLimits& limits) {
  ParseGuard<Json> guard(where, limits);
  try {
    return Json::parse(
        text, [&](int depth, typename Json::parse_event_t event, Json& value) { return guard(depth, event, value); });
  } catch (const nlohmann::json::exception& error) {
    raise("{}: not valid JSON: {}", where, json_reason(error, text));
  }
}

template <class Json>
std::optional<std::int64_t> whole_number(const Json& value, std::int64_t min, std::int64_t max) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() &&
      value.template get<std::uint64_t>() > std::uint64_t(std::numeric_limits<std::int64_t>::max())) {
    return std::nullopt;
  }
  const auto number = value.template get<std::int64_t>();
  return number >= min && number <= max ? std::optional(number) : std::nullopt;
}

std::string json_reason(const nlohmann::json::exception& error, std::string_view text) {
  std::string_view reason = error.what();
  std::string place;
  if (const auto* parse_error = dynamic_cast<const nlohmann::json::parse_error*>(&error)) {
    place = place_of(parse_error->byte, text);
    reason.remove_prefix(std::min(reason.size(), reason.find(": ") + 2));  // "[json...] parse error at line 1, ...: "
  } else {
    reason.remove_prefix(std::min(reason.size(), reason.find("] ") + 2));
  }
  if (reason.size() <= kMaxReasonBytes) return place + std::string(reason);
  return fmt::format("{}{}...", place, reason.substr(0, kMaxReasonBytes));
}

template <class Json>
std::string json_excerpt(const Json& value) {
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true);
  if (text.size() > kMaxExcerptBytes) text.replace(kMaxExcerptBytes, std::string::npos, "...");
  return text;
}

template nlohmann::json parse_strict_json(std::string_view, const std::string&, const JsonLimits&);
template nlohmann::ordered_json parse_strict_json(std::string_view, const std::string&, const JsonLimits&);
template std::optional<std::int64_t> whole_number(const nlohmann::json&, std::int64_t, std::int64_t);
template std::optional<std::int64_t> whole_number(const nlohmann::ordered_json&, std::int64_t, std::int64_t);
template std::string json_excerpt(const nlohmann::json&);
template std::string json_excerpt(const nlohmann::ordered_json&);

}  // namespace m2
