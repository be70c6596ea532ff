// SPDX-License-Identifier: Apache-2.0
// A hostile tokenizer.json must be refused with an m2::Error or do its work on a fixed text.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/error.hpp"
#include "text/tokenizer.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  const std::string_view input(reinterpret_cast<const char*>(data), size_bytes);
  try {
    const m2::Tokenizer tokenizer = m2::Tokenizer::from_json(input, "tokenizer.json");
    constexpr std::string_view kText =
        "It's 1,234 words \n\t in \u4E2D\u6587 <think>]~b]aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    tokenizer.decode(tokenizer.encode(kText));
  } catch (const m2::Error&) {
  }
  return 0;
}
