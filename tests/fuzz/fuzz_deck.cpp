// SPDX-License-Identifier: Apache-2.0
// A deck: any bytes give a Deck or a UsageError, in the file as well as on the command line.
#include <cstddef>
#include <cstdint>
#include <string>

#include "config/deck.hpp"
#include "core/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    m2::parse_deck(text, "fuzz");
  } catch (const m2::UsageError&) {
  }
  const std::string overrides[] = {text};
  try {
    m2::parse_deck("job: generate\nmodel: {checkpoint: m}\nprompts: {text: a}\n", "fuzz", overrides);
  } catch (const m2::UsageError&) {
  }
  return 0;
}
