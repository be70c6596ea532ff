// SPDX-License-Identifier: Apache-2.0
#include "text/byte_alphabet.hpp"

#include <array>

#include "text/utf8.hpp"

namespace m2 {
namespace {

constexpr std::uint32_t kFirstSubstitute = 0x100;
constexpr std::uint32_t kNumSubstitutes = 68;

constexpr bool is_printable(std::uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

// The bytes that are not their own symbol, in order.
constexpr auto kSubstituted = [] {
  std::array<std::uint8_t, kNumSubstitutes> bytes{};
  std::size_t count = 0;
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    if (!is_printable(byte)) bytes[count++] = std::uint8_t(byte);
  }
  return bytes;
}();

std::optional<std::uint8_t> symbol_to_byte(std::uint32_t code_point) {
  if (code_point < kFirstSubstitute) {
    if (!is_printable(code_point)) return std::nullopt;
    return std::uint8_t(code_point);
  }
  if (code_point >= kFirstSubstitute + kNumSubstitutes) return std::nullopt;
  return kSubstituted[code_point - kFirstSubstitute];
}

}  // namespace

std::string byte_to_symbol(std::uint8_t byte) {
  std::uint32_t code_point = byte;
  if (!is_printable(byte)) {
    code_point = kFirstSubstitute;
    while (kSubstituted[code_point - kFirstSubstitute] != byte) ++code_point;
  }
  std::string symbol;
  append_code_point(code_point, symbol);
  return symbol;
}

std::optional<std::string> symbols_to_bytes(std::string_view token) {
  std::string bytes;
  for (std::size_t i = 0; i < token.size(); ++i) {
    std::uint32_t code_point = std::uint8_t(token[i]);
    if (code_point >= 0xE0 || (code_point >= 0x80 && i + 1 == token.size())) return std::nullopt;
    if (code_point >= 0x80) code_point = (code_point & 0x1F) << 6 | (std::uint8_t(token[++i]) & 0x3F);
    const std::optional<std::uint8_t> byte = symbol_to_byte(code_point);
    if (!byte) return std::nullopt;
    bytes += char(*byte);
  }
  return bytes;
}

}  // namespace m2
