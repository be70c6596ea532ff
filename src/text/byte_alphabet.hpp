// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace m2 {

/// The printable character that stands for a byte in the vocabulary of a byte-level BPE (GPT-2, bytes_to_unicode): the
/// byte itself for ! to ~, U+00A1 to U+00AC and U+00AE to U+00FF, else U+0100 + its rank among the other 68 bytes.
/// UTF-8.
std::string byte_to_symbol(std::uint8_t byte);

/// The bytes a vocabulary entry stands for; nothing if some character of it is outside the alphabet. `token` is UTF-8.
std::optional<std::string> symbols_to_bytes(std::string_view token);

}  // namespace m2
