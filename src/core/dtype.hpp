// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace m2 {

/// Element types a checkpoint may hold. Arithmetic is done in the first three only.
enum class DType : std::uint8_t {
  float32,
  bfloat16,
  float8_e4m3fn,
  float16,
  float64,
  float8_e5m2,
  int8,
  uint8,
  int16,
  int32,
  int64,
  boolean,
  uint16,
  uint32,
  uint64
};

/// Bytes of one element.
std::size_t size_bytes(DType dtype);

/// "float32", "bfloat16", "float8_e4m3fn", ...
std::string_view name(DType dtype);

/// The inverse of name(). Throws Error listing the known names.
DType parse_dtype(std::string_view name);

}  // namespace m2
