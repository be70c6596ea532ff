// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "infer/bench_result.hpp"

namespace m2 {

/// A text as HTML shows it: <, >, & and quotes escaped.
std::string html_text(std::string_view text);

/// The colour of a phase, in every chart: "#1d4ed8".
const char* phase_color(std::string_view phase);

/// GFLOP/s over FLOP per byte, both logarithmic: the measured ceilings as lines, each operation of rank 0 as a dot.
/// An SVG element.
std::string roofline_svg(const BenchResult& result);

/// A bar for the time of each operation, the longest first; its darker part is the time the ceilings ask for. An SVG
/// element.
std::string time_bars_svg(const BenchPhase& phase, const BenchResult& result);

}  // namespace m2
