// SPDX-License-Identifier: Apache-2.0
// The header of a safetensors file: any bytes give a checked header or an Error.
#include <cstdint>
#include <span>

#include "core/error.hpp"
#include "io/safetensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    m2::parse_safetensors_header(std::as_bytes(std::span(data, size)), size, "input");
  } catch (const m2::Error&) {  // refused, as it should be
  }
  return 0;
}
