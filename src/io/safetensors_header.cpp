// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "core/error.hpp"
#include "io/safetensors.hpp"
#include "io/shape.hpp"
#include "io/strict_json.hpp"

namespace m2 {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr std::string_view kMetadataKey = "__metadata__";

constexpr std::array<std::pair<std::string_view, DType>, 15> kDTypeNames{{{"F32", DType::float32},
                                                                          {"BF16", DType::bfloat16},
                                                                          {"F8_E4M3", DType::float8_e4m3fn},
                                                                          {"F16", DType::float16},
                                                                          {"F64", DType::float64},
                                                                          {"F8_E5M2", DType::float8_e5m2},
                                                                          {"I8", DType::int8},
                                                                          {"U8", DType::uint8},
                                                                          {"I16", DType::int16},
                                                                          {"I32", DType::int32},
                                                                          {"I64", DType::int64},
                                                                          {"BOOL", DType::boolean},
                                                                          {"U16", DType::uint16},
                                                                          {"U32", DType::uint32},
                                                                          {"U64", DType::uint64}}};

// Takes the header's JSON event by event: a tree of 100,000 entries would cost several times the header itself, and
// would have forgotten which keys came twice.
class HeaderHandler : public Json::json_sax_t {
 public:
  HeaderHandler(const std::string& path, std::uint64_t header_end, std::uint64_t data_bytes)
      : path_(path), header_end_(header_end), data_bytes_(data_bytes) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("a boolean"); }
  bool number_float(double, const std::string& text) override { unexpected("the number " + text); }
  bool binary(Json::binary_t&) override { unexpected("binary data"); }
  bool number_integer(std::int64_t value) override { unexpected(fmt::format("the number {}", value)); }

  bool number_unsigned(std::uint64_t value) override {
    if (place_ == Place::shape) {
      if (!std::in_range<std::int64_t>(value)) unexpected(fmt::format("the number {}", value));
      entry_.shape.push_back(std::int64_t(value));
    } else if (place_ == Place::offsets && num_offsets_ < 2) {
      offsets_[num_offsets_++] = value;
    } else {
      unexpected(fmt::format("the number {}", value));
    }
    return true;
  }

  bool string(std::string& value) override {
    if (place_ == Place::metadata) {
      header_.metadata[key_] = std::move(value);
    } else if (place_ == Place::entry && key_ == "dtype") {
      set_dtype(value);
    } else {
      unexpected("the string '" + value + "'");
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::outside) {
      place_ = Place::top;
    } else if (place_ == Place::top && key_ == kMetadataKey) {
      place_ = Place::metadata;
    } else if (place_ == Place::top) {
      place_ = Place::entry;
      entry_ = {};
      entry_.name = key_;
      seen_keys_.clear();
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool key(std::string& value) override {
    if (place_ == Place::top) {
      M2_REQUIRE(names_.insert(value).second, "{}: '{}' is given twice in the safetensors header", path_, value);
    } else if (place_ == Place::metadata) {
      M2_REQUIRE(!header_.metadata.contains(value), "{}: key '{}' is given twice in the header's {}", path_, value,
                 kMetadataKey);
    } else {
      check_entry_key(value);
    }
    key_ = std::move(value);
    return true;
  }

  bool end_object() override {
    if (place_ == Place::entry) finish_entry();
    place_ = place_ == Place::top ? Place::outside : Place::top;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::entry && key_ == "shape") {
      place_ = Place::shape;
    } else if (place_ == Place::entry && key_ == "data_offsets") {
      place_ = Place::offsets;
      num_offsets_ = 0;
    } else {
      unexpected("an array");
    }
    return true;
  }

  bool end_array() override {
    if (place_ == Place::offsets && num_offsets_ != 2) unexpected(fmt::format("{} of two numbers", num_offsets_));
    place_ = Place::entry;
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const Json::exception& error) override {
    raise("{}: the safetensors header is not valid JSON: {}", path_, json_reason(error));
  }

 private:
  enum class Place { outside, top, metadata, entry, shape, offsets };

  [[noreturn]] void unexpected(const std::string& found) const {
    switch (place_) {
      case Place::outside:
        raise("{}: the safetensors header must be an object, found {}", path_, found);
      case Place::top:
        raise("{}: '{}' in the safetensors header must be an object, found {}", path_, key_, found);
      case Place::metadata:
        raise("{}: key '{}' of the header's {} must be a string, found {}", path_, key_, kMetadataKey, found);
      case Place::shape:
        fail(fmt::format("shape must hold integers of 0 to 2^63 - 1, found {}", found));
      case Place::offsets:
        fail(fmt::format("data_offsets must hold two integers, 0 or more, found {}", found));
      case Place::entry:
        fail(fmt::format("{} must be {}, found {}", key_, key_ == "dtype" ? "a string" : "an array", found));
    }
    fail("found " + found);
  }

  [[noreturn]] void fail(const std::string& what) const { raise("{}: tensor '{}': {}", path_, entry_.name, what); }

  void set_dtype(const std::string& text) {
    const auto* const known = std::ranges::find(kDTypeNames, text, &std::pair<std::string_view, DType>::first);
    if (known == kDTypeNames.end()) {
      std::string names;
      for (const auto& [name, dtype] : kDTypeNames) names += (names.empty() ? "" : ", ") + std::string(name);
      fail(fmt::format("unknown dtype '{}'; known are {}", text, names));
    }
    entry_.dtype = known->second;
  }

  void check_entry_key(const std::string& key) {
    if (key != "dtype" && key != "shape" && key != "data_offsets") {
      fail(fmt::format("unknown key '{}'; expected dtype, shape, data_offsets", key));
    }
    if (std::ranges::find(seen_keys_, key) != seen_keys_.end()) fail(fmt::format("{} is given twice", key));
    seen_keys_.push_back(key);
  }

  void finish_entry() {
    if (seen_keys_.size() != 3) fail("it must have dtype, shape and data_offsets");
    const auto [begin, end] = offsets_;
    if (begin > end || end > data_bytes_) {
      fail(
          fmt::format("data_offsets [{}, {}] are not within the {} bytes of data: the file is truncated or damaged; "
                      "download it again",
                      begin, end, data_bytes_));
    }
    const auto size_bytes = checked_size_bytes(entry_.dtype, entry_.shape);
    if (!size_bytes) fail(fmt::format("shape {} has too many elements", shape_text(entry_.shape)));
    if (end - begin != *size_bytes) {
      fail(fmt::format("data_offsets [{}, {}] hold {} bytes, expected {} for {} of shape {}", begin, end, end - begin,
                       *size_bytes, safetensors_name(entry_.dtype), shape_text(entry_.shape)));
    }
    entry_.offset = header_end_ + begin;
    entry_.size_bytes = *size_bytes;
    header_.entries.push_back(std::move(entry_));
  }

  const std::string& path_;
  const std::uint64_t header_end_;
  const std::uint64_t data_bytes_;
  SafetensorsHeader header_;
  Place place_ = Place::outside;
  std::string key_;
  TensorEntry entry_;
  std::vector<std::string> seen_keys_;
  std::array<std::uint64_t, 2> offsets_{};
  std::size_t num_offsets_ = 0;
  std::unordered_set<std::string> names_;
};

std::uint64_t header_length(std::span<const std::byte> prefix, std::uint64_t file_size_bytes, const std::string& path) {
  M2_REQUIRE(prefix.size() >= kLengthBytes && file_size_bytes >= kLengthBytes,
             "{}: {} bytes are too few for a safetensors file: download it again", path, file_size_bytes);
  std::uint64_t length = 0;
  std::memcpy(&length, prefix.data(), kLengthBytes);
  M2_REQUIRE(
      length <= kMaxHeaderBytes,
      "{}: the first eight bytes ask for a header of {} bytes, more than the format's {}: this is no safetensors "
      "file",
      path, length, kMaxHeaderBytes);
  const std::uint64_t available = std::min<std::uint64_t>(prefix.size(), file_size_bytes) - kLengthBytes;
  M2_REQUIRE(length <= available,
             "{}: the header should have {} bytes but only {} follow: truncated; download it again", path, length,
             available);
  return length;
}

// Sorts by place and requires that each tensor begins where the one before it ends.
void check_coverage(std::vector<TensorEntry>& entries, std::uint64_t begin, std::uint64_t file_size_bytes,
                    const std::string& path) {
  std::ranges::stable_sort(entries, {}, [](const TensorEntry& entry) {
    return std::pair(entry.offset, entry.offset + entry.size_bytes);  // empty tensors come first
  });
  std::uint64_t expected = begin;
  for (const TensorEntry& entry : entries) {
    M2_REQUIRE(entry.offset >= expected,
               "{}: tensor '{}' begins at byte {} and overlaps the tensor before it, which ends at {}", path,
               entry.name, entry.offset, expected);
    M2_REQUIRE(entry.offset == expected, "{}: {} bytes before tensor '{}', from byte {}, belong to no tensor", path,
               entry.offset - expected, entry.name, expected);
    expected = entry.offset + entry.size_bytes;
  }
  M2_REQUIRE(expected == file_size_bytes, "{}: the last {} bytes, from byte {}, belong to no tensor", path,
             file_size_bytes - expected, expected);
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> prefix, std::uint64_t file_size_bytes,
                                           const std::string& path) {
  const std::uint64_t length = header_length(prefix, file_size_bytes, path);
  const std::uint64_t header_end = kLengthBytes + length;
  const std::string_view text(reinterpret_cast<const char*>(prefix.data()) + kLengthBytes, length);
  M2_REQUIRE(text.starts_with('{'), "{}: the safetensors header must begin with '{{'", path);

  HeaderHandler handler(path, header_end, file_size_bytes - header_end);
  Json::sax_parse(text, &handler);
  SafetensorsHeader header = handler.take();
  check_coverage(header.entries, header_end, file_size_bytes, path);
  return header;
}

std::string_view safetensors_name(DType dtype) {
  return std::ranges::find(kDTypeNames, dtype, &std::pair<std::string_view, DType>::second)->first;
}

}  // namespace m2
