// SPDX-License-Identifier: Apache-2.0
// config.json and generation_config.json: any bytes give a configuration or an m2::Error. What was accepted must be
// written back as it was, and after a change read back as changed.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "config/generation_defaults.hpp"
#include "config/minimax_m2_config.hpp"
#include "core/error.hpp"

namespace {

void check_round_trip(m2::MiniMaxM2Config config, std::string_view text) {
  if (config.to_json() != text) std::abort();
  config.dtype = config.dtype == m2::DType::float32 ? m2::DType::bfloat16 : m2::DType::float32;
  config.quantization.reset();
  const auto changed = m2::MiniMaxM2Config::from_json(config.to_json(), "fuzz");
  if (changed.dtype != config.dtype || changed.quantization) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::optional<m2::MiniMaxM2Config> config;
  try {
    config = m2::MiniMaxM2Config::from_json(text, "fuzz");
  } catch (const m2::Error&) {
  }
  if (config) check_round_trip(*config, text);
  try {
    m2::GenerationDefaults::from_json(text, "fuzz");
  } catch (const m2::Error&) {
  }
  return 0;
}
