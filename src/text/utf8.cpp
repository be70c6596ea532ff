// SPDX-License-Identifier: Apache-2.0
#include "text/utf8.hpp"

namespace m2 {
namespace {

enum class SequenceState { whole, malformed, cut_off };

struct Sequence {
  SequenceState state;
  std::size_t size_bytes;  // of the code point, or of the maximal part of one
};

struct LeadByte {
  std::size_t size_bytes;          // of the code point; 0: no code point begins with this byte
  std::uint8_t second_min = 0x80;  // the second byte's range keeps out overlong forms, surrogates and U+110000 on
  std::uint8_t second_max = 0xBF;
};

// Table 3-7 of the Unicode standard.
LeadByte classify_lead(std::uint8_t lead) {
  if (lead < 0x80) return {1};
  if (lead < 0xC2) return {0};
  if (lead < 0xE0) return {2};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};
  if (lead == 0xED) return {3, 0x80, 0x9F};
  if (lead < 0xF0) return {3};
  if (lead == 0xF0) return {4, 0x90, 0xBF};
  if (lead < 0xF4) return {4};
  if (lead == 0xF4) return {4, 0x80, 0x8F};
  return {0};
}

// `bytes` is not empty.
Sequence first_sequence(std::string_view bytes) {
  const LeadByte lead = classify_lead(std::uint8_t(bytes[0]));
  if (lead.size_bytes == 0) return {SequenceState::malformed, 1};
  for (std::size_t i = 1; i < lead.size_bytes; ++i) {
    if (i == bytes.size()) return {SequenceState::cut_off, i};
    const auto byte = std::uint8_t(bytes[i]);
    const bool fits = i == 1 ? byte >= lead.second_min && byte <= lead.second_max : (byte & 0xC0) == 0x80;
    if (!fits) return {SequenceState::malformed, i};
  }
  return {SequenceState::whole, lead.size_bytes};
}

}  // namespace

std::optional<std::size_t> find_invalid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const Sequence sequence = first_sequence(text.substr(i));
    if (sequence.state != SequenceState::whole) return i;
    i += sequence.size_bytes;
  }
  return std::nullopt;
}

std::size_t append_whole_code_points(std::string_view bytes, std::string& out) {
  std::size_t i = 0;
  while (i < bytes.size()) {
    const Sequence sequence = first_sequence(bytes.substr(i));
    if (sequence.state == SequenceState::cut_off) break;
    const bool whole = sequence.state == SequenceState::whole;
    out += whole ? bytes.substr(i, sequence.size_bytes) : kReplacementCharacter;
    i += sequence.size_bytes;
  }
  return i;
}

void append_code_point(std::uint32_t code_point, std::string& out) {
  const auto continuation = [](std::uint32_t bits) { return char(0x80 | (bits & 0x3F)); };
  if (code_point < 0x80) {
    out += char(code_point);
  } else if (code_point < 0x800) {
    out += char(0xC0 | (code_point >> 6));
    out += continuation(code_point);
  } else if (code_point < 0x10000) {
    out += char(0xE0 | (code_point >> 12));
    out += continuation(code_point >> 6);
    out += continuation(code_point);
  } else {
    out += char(0xF0 | (code_point >> 18));
    out += continuation(code_point >> 12);
    out += continuation(code_point >> 6);
    out += continuation(code_point);
  }
}

}  // namespace m2
