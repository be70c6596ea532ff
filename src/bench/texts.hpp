// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "bench/result.hpp"

namespace m2 {

/// "412.3 GFLOP/s"'s number: at least three digits that count.
std::string giga_text(double per_second);
/// A part of a whole: "0.812".
std::string share_text(double share);
/// "12.3 ms", "1.23 s", "45.6 us".
std::string seconds_text(double seconds);
/// Time of the timed pass outside all operations: the host's work, and waiting for other ranks.
double seconds_between(const BenchPhase& phase);
/// The work of a repeat in words: "512 tokens of one prompt", "32 tokens of 1 sequence at 512".
std::string phase_work(const BenchPhase& phase, const BenchResult& result);
/// The colour of a phase, in every chart: "#1d4ed8".
const char* phase_color(std::string_view phase);

}  // namespace m2
