// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "bench/result.hpp"

namespace m2 {

/// A bar for the time of each operation, the longest first; its darker part is the time the ceilings ask for. An SVG
/// element.
std::string time_bars_svg(const BenchPhase& phase, const BenchResult& result);

}  // namespace m2
