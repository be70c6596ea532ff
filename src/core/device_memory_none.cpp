// SPDX-License-Identifier: Apache-2.0
// A build without devices.
#include "core/device_memory.hpp"

namespace m2 {

std::optional<std::int64_t> available_device_bytes() { return std::nullopt; }

}  // namespace m2
