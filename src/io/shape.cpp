// SPDX-License-Identifier: Apache-2.0
#include "io/shape.hpp"

#include <fmt/ranges.h>

#include <algorithm>

namespace m2 {

std::optional<std::uint64_t> checked_size_bytes(DType dtype, std::span<const std::int64_t> shape) {
  if (std::ranges::any_of(shape, [](std::int64_t extent) { return extent < 0; })) return std::nullopt;
  if (std::ranges::count(shape, 0) > 0) return 0;
  auto size = std::int64_t(size_bytes(dtype));
  for (const std::int64_t extent : shape) {
    if (__builtin_mul_overflow(size, extent, &size)) return std::nullopt;
  }
  return std::uint64_t(size);
}

std::string shape_text(std::span<const std::int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

}  // namespace m2
