// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace m2 {

/// U+FFFD in UTF-8: stands for each maximal run of bytes that begins a code point but cannot be completed (Unicode 16,
/// section 3.9, table 3-8), as Python's and Rust's lossy decoders do.
inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

/// Offset of the first byte that is not part of well-formed UTF-8 (no surrogates, no overlong forms), or nothing.
std::optional<std::size_t> find_invalid_utf8(std::string_view text);

/// Appends the code points of `bytes` to `out`, with U+FFFD for what is malformed. Stops before a code point that is
/// cut off by the end of `bytes`; returns how many bytes were used up (at most three are left).
std::size_t append_whole_code_points(std::string_view bytes, std::string& out);

/// Appends one code point (at most U+10FFFF) in UTF-8.
void append_code_point(std::uint32_t code_point, std::string& out);

}  // namespace m2
