// SPDX-License-Identifier: Apache-2.0
#include "core/dtype.hpp"

#include <array>
#include <string>

#include "core/error.hpp"

namespace m2 {
namespace {

struct DTypeEntry {
  DType dtype;
  std::string_view name;
  std::size_t size_bytes;
};

constexpr std::array kDTypes{
    DTypeEntry{DType::float32, "float32", 4},
    DTypeEntry{DType::bfloat16, "bfloat16", 2},
    DTypeEntry{DType::float8_e4m3fn, "float8_e4m3fn", 1},
    DTypeEntry{DType::float16, "float16", 2},
    DTypeEntry{DType::float64, "float64", 8},
    DTypeEntry{DType::float8_e5m2, "float8_e5m2", 1},
    DTypeEntry{DType::int8, "int8", 1},
    DTypeEntry{DType::uint8, "uint8", 1},
    DTypeEntry{DType::int16, "int16", 2},
    DTypeEntry{DType::int32, "int32", 4},
    DTypeEntry{DType::int64, "int64", 8},
    DTypeEntry{DType::boolean, "bool", 1},
    DTypeEntry{DType::uint16, "uint16", 2},
    DTypeEntry{DType::uint32, "uint32", 4},
    DTypeEntry{DType::uint64, "uint64", 8},
};

const DTypeEntry& entry(DType dtype) { return kDTypes.at(std::size_t(dtype)); }

}  // namespace

std::size_t size_bytes(DType dtype) { return entry(dtype).size_bytes; }

std::string_view name(DType dtype) { return entry(dtype).name; }

DType parse_dtype(std::string_view name) {
  std::string known;
  for (const DTypeEntry& candidate : kDTypes) {
    if (candidate.name == name) return candidate.dtype;
    known += (known.empty() ? "" : ", ") + std::string(candidate.name);
  }
  raise("unknown dtype '{}'; known are {}", name, known);
}

}  // namespace m2
