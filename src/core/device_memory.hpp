// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

namespace m2 {

/// Bytes of the device's memory that nobody has taken yet; nothing in a build without devices, and where the device
/// does not say. Kokkos must be initialised.
std::optional<std::int64_t> available_device_bytes();

}  // namespace m2
