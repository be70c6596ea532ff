// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "core/dtype.hpp"

namespace m2 {

/// Bytes of a dense tensor; nothing if an extent is negative or the product exceeds 2^63 - 1. Scalars have shape [].
std::optional<std::uint64_t> checked_size_bytes(DType dtype, std::span<const std::int64_t> shape);

/// "[2, 3]"
std::string shape_text(std::span<const std::int64_t> shape);

}  // namespace m2
