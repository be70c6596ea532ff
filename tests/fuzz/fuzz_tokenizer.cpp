// SPDX-License-Identifier: Apache-2.0
// A tokenizer.json and, after a zero byte, a text. A hostile tokenizer must be refused with an m2::Error or do its work
// on that text and on a fixed one; what it encodes it must decode, all at once as well as token by token.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "text/detokenizer.hpp"
#include "text/tokenizer.hpp"

namespace {

void check_decoding(const m2::Tokenizer& tokenizer, const std::vector<std::int32_t>& ids) {
  const std::string text = tokenizer.decode(ids);
  m2::StreamingDetokenizer streaming(tokenizer);
  std::string pieces;
  for (const std::int32_t id : ids) pieces += streaming.push(id);
  if (pieces + streaming.finish() != text) std::abort();
}

// Ids that no encoding gave, from pairs of bytes: some have no token.
std::vector<std::int32_t> ids_from(std::string_view bytes) {
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
    ids.push_back(std::uint8_t(bytes[i]) | (std::uint8_t(bytes[i + 1]) & 1) << 8);
  }
  return ids;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  const std::string_view input(reinterpret_cast<const char*>(data), size_bytes);
  const std::size_t end_of_json = std::min(input.find('\0'), input.size());
  const std::string_view text = input.substr(std::min(end_of_json + 1, input.size()));
  constexpr std::string_view kText =
      "It's 1,234 words \n\t in \u4E2D\u6587 <think>]~b]aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
  try {
    const m2::Tokenizer tokenizer = m2::Tokenizer::from_json(input.substr(0, end_of_json), "tokenizer.json");
    check_decoding(tokenizer, tokenizer.encode(kText));
    try {
      check_decoding(tokenizer, tokenizer.encode(text));
    } catch (const m2::Error&) {  // not UTF-8; its bytes may still be ids
    }
    check_decoding(tokenizer, ids_from(text));
  } catch (const m2::Error&) {  // refused, as it should be
  }
  return 0;
}
