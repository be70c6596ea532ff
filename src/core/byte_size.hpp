// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace m2 {

/// "230.1 GB": decimal units, four digits at most.
std::string byte_size_text(std::uint64_t bytes);

/// The inverse for what users write: "5GB", "512 MiB", "1.5TB", "4096" (bytes). K, M, G and T count in thousands, KiB
/// and so on in 1024s; upper and lower case are the same. Throws UsageError naming `what` unless it is at least one
/// byte.
std::uint64_t parse_byte_size(std::string_view text, std::string_view what);

}  // namespace m2
