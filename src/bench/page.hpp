// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "bench/result.hpp"

namespace m2 {

/// The same as one HTML page with charts, which needs no other file: a roofline, time by operation, the tables.
std::string bench_page(const BenchResult& result);

}  // namespace m2
