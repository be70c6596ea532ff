// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "bench/result.hpp"

namespace m2 {

/// The tables for a terminal, with a unit on every column.
std::string bench_tables(const BenchResult& result);

}  // namespace m2
