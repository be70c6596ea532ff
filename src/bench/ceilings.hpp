// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/views.hpp"

namespace m2 {

/// What this process can do at most with all threads of an instance, as measured: what operations are compared with.
struct Ceilings {
  double read_bytes_per_second = 0.0;  ///< from memory, not from a cache
  double float32_flop_per_second = 0.0;
  std::optional<double> bfloat16_flop_per_second;  ///< products of bfloat16 added in float32; where instructions do it
  std::string float32_instructions;                ///< "AVX-512"
  std::string bfloat16_instructions;               ///< "AVX-512 BF16"; empty without a number
};

/// Sums an array of `array_bytes`, which no cache should hold, and multiplies in registers; each a few times, and the
/// best counts. Takes about a second and gives the array back. On a device bfloat16 is left out.
Ceilings measure_ceilings(const ExecSpace& exec, std::int64_t array_bytes);

}  // namespace m2
