// SPDX-License-Identifier: Apache-2.0
#include "io/strict_json.hpp"

#include <unordered_set>
#include <vector>

#include "core/error.hpp"

namespace m2 {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 100;
constexpr std::size_t kMaxReasonBytes = 200;

// Sees every event of the parser and refuses what nlohmann::json would let through.
class Watch {
 public:
  explicit Watch(const std::string& where) : where_(where) {}

  bool operator()(int depth, Json::parse_event_t event, Json& value) {
    M2_REQUIRE(depth <= kMaxDepth, "{}: JSON nested deeper than {} levels", where_, kMaxDepth);
    if (event == Json::parse_event_t::object_start) {
      keys_of_open_objects_.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      keys_of_open_objects_.pop_back();
    } else if (event == Json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      M2_REQUIRE(keys_of_open_objects_.back().insert(key).second, "{}: key '{}' is given twice", where_, key);
    }
    return true;
  }

 private:
  const std::string& where_;
  std::vector<std::unordered_set<std::string>> keys_of_open_objects_;
};

}  // namespace

Json parse_strict_json(std::string_view text, const std::string& where) {
  Watch watch(where);
  try {
    return Json::parse(text,
                       [&](int depth, Json::parse_event_t event, Json& value) { return watch(depth, event, value); });
  } catch (const Json::exception& error) {
    raise("{}: not valid JSON: {}", where, json_reason(error));
  }
}

std::string json_reason(const Json::exception& error) {
  std::string_view text = error.what();
  std::string position;
  if (const auto* parse_error = dynamic_cast<const Json::parse_error*>(&error)) {
    position = fmt::format("at byte {}: ", parse_error->byte);
    text.remove_prefix(std::min(text.size(), text.find(": ") + 2));  // "[json...] parse error at line 1, column 5: "
  } else {
    text.remove_prefix(std::min(text.size(), text.find("] ") + 2));
  }
  if (text.size() <= kMaxReasonBytes) return position + std::string(text);
  return fmt::format("{}{}...", position, text.substr(0, kMaxReasonBytes));
}

}  // namespace m2
