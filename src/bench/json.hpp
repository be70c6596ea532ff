// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include "bench/result.hpp"

namespace m2 {

/// Everything that was measured, in bytes, FLOP and seconds.
nlohmann::ordered_json bench_json(const BenchResult& result);

}  // namespace m2
