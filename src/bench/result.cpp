// SPDX-License-Identifier: Apache-2.0
#include "bench/result.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace m2 {
namespace {

bool has_bfloat16_peak(const Ceilings& ceilings, DType dtype) {
  return dtype == DType::bfloat16 && ceilings.bfloat16_flop_per_second.has_value();
}

}  // namespace

Spread spread_of(std::vector<double> values) {
  M2_REQUIRE(!values.empty(), "spread_of: no values, expected at least one");
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {.median = median, .least = values.front(), .most = values.back()};
}

double peak_flop_per_second(const Ceilings& ceilings, DType dtype) {
  return has_bfloat16_peak(ceilings, dtype) ? *ceilings.bfloat16_flop_per_second : ceilings.float32_flop_per_second;
}

std::string peak_name(const Ceilings& ceilings, DType dtype) {
  return has_bfloat16_peak(ceilings, dtype) ? "bfloat16" : "float32";
}

Rates rates_of(const OperationCost& cost, double seconds, const Ceilings& ceilings, DType dtype) {
  Rates rates;
  if (seconds <= 0.0) return rates;
  rates.bytes_per_second = double(cost.bytes) / seconds;
  rates.flop_per_second = double(cost.flop) / seconds;
  rates.bandwidth_share = rates.bytes_per_second / ceilings.read_bytes_per_second;
  rates.peak_share = rates.flop_per_second / peak_flop_per_second(ceilings, dtype);
  return rates;
}

Spread BenchPhase::tokens_per_second() const {
  std::vector<double> rates;
  for (const double time : seconds) rates.push_back(double(tokens) / time);
  return spread_of(std::move(rates));
}

}  // namespace m2
