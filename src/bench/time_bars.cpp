// SPDX-License-Identifier: Apache-2.0
#include "bench/time_bars.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "bench/texts.hpp"
#include "report/svg.hpp"

namespace m2 {
namespace {

constexpr double kPageWidth = 1000, kLabels = 232, kNumbers = 236, kRow = 26, kHeader = 30, kBar = 18;
constexpr double kLeastBarShare = 0.002;  // of the time: the operations below share a bar

struct Bar {
  std::string label;
  double seconds = 0.0;
  double roof_seconds = 0.0;  // what the ceilings ask for; 0 where there is no operation
};

std::vector<Bar> bars_of(const BenchPhase& phase, const BenchResult& result) {
  std::vector<Bar> bars;
  Bar small;
  int num_small = 0;
  for (const OperationLog::Entry& entry : phase.operations) {
    const double roof =
        entry.seconds * rates_of(entry.cost, entry.seconds, result.rank_ceilings, result.dtype).roof_share();
    if (entry.seconds >= kLeastBarShare * phase.timed_seconds) {
      bars.push_back({entry.label(), entry.seconds, roof});
      continue;
    }
    small.seconds += entry.seconds;
    small.roof_seconds += roof;
    ++num_small;
  }
  std::ranges::sort(bars, [](const Bar& a, const Bar& b) { return a.seconds > b.seconds; });
  small.label = fmt::format("{} smaller ones", num_small);
  if (num_small > 0) bars.push_back(small);
  bars.push_back({.label = "between operations", .seconds = seconds_between(phase)});
  return bars;
}

std::string bar_svg(double x, double y, double width, std::string_view color, double opacity) {
  return svg_rectangle(x, y, std::max(width, 0.5), kBar, color, opacity);
}

}  // namespace

std::string time_bars_svg(const BenchPhase& phase, const BenchResult& result) {
  const std::vector<Bar> bars = bars_of(phase, result);
  double longest = 0.0;
  for (const Bar& bar : bars) longest = std::max(longest, bar.seconds);
  const double height = kHeader + kRow * double(bars.size()) + 6, room = kPageWidth - kLabels - kNumbers;
  const char* const color = phase_color(phase.name);
  std::string text = svg_begin(kPageWidth, height, "Time by operation");
  text += bar_svg(kLabels, 4, 18, color, 0.35) + svg_text(kLabels + 26, 18, "start", "time of the operation");
  text += bar_svg(kLabels + 190, 4, 18, color, 1.0) +
          svg_text(kLabels + 216, 18, "start", "of it, the least that the ceilings allow");
  double y = kHeader;
  for (const Bar& bar : bars) {
    const double width = longest > 0.0 ? bar.seconds / longest * room : 0.0;
    text += svg_text(kLabels - 10, y + 14, "end", bar.label);
    text += bar_svg(kLabels, y, width, bar.roof_seconds > 0.0 ? color : "#6b7280", 0.35);
    if (bar.roof_seconds > 0.0) text += bar_svg(kLabels, y, bar.roof_seconds / longest * room, color, 1.0);
    const std::string roof = bar.roof_seconds > 0.0 && bar.seconds > 0.0
                                 ? fmt::format(", {:.2f} of roof", bar.roof_seconds / bar.seconds)
                                 : "";
    text += svg_text(
        kLabels + width + 8, y + 14, "start",
        fmt::format("{}, {:.1f} %{}", seconds_text(bar.seconds), 100.0 * bar.seconds / phase.timed_seconds, roof));
    y += kRow;
  }
  return text + svg_end();
}

}  // namespace m2
