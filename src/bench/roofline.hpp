// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "bench/result.hpp"

namespace m2 {

/// GFLOP/s over FLOP per byte, both logarithmic: the measured ceilings as lines, each operation of rank 0 as a dot.
/// An SVG element.
std::string roofline_svg(const BenchResult& result);

}  // namespace m2
