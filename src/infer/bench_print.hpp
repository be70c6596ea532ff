// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "infer/bench_result.hpp"

namespace m2 {

/// The tables for a terminal, with a unit on every column.
std::string bench_tables(const BenchResult& result);

/// Everything that was measured, in bytes, FLOP and seconds.
nlohmann::ordered_json bench_json(const BenchResult& result);

/// The same as one HTML page with charts, which needs no other file: a roofline, time by operation, the tables.
std::string bench_report(const BenchResult& result);

// What the three have in common.

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

}  // namespace m2
