// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "infer/bench_charts.hpp"
#include "infer/bench_print.hpp"

namespace m2 {
namespace {

constexpr double kPageWidth = 1000, kLabels = 232, kNumbers = 236, kRow = 26, kHeader = 30;
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

std::string rectangle(double x, double y, double width, std::string_view color, double opacity) {
  return fmt::format(
      "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"18\" fill=\"{}\" fill-opacity=\"{}\"/>\n", x, y,
      std::max(width, 0.5), color, opacity);
}

}  // namespace

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

const char* phase_color(std::string_view phase) { return phase == "prefill" ? "#1d4ed8" : "#c2410c"; }

std::string time_bars_svg(const BenchPhase& phase, const BenchResult& result) {
  const std::vector<Bar> bars = bars_of(phase, result);
  double longest = 0.0;
  for (const Bar& bar : bars) longest = std::max(longest, bar.seconds);
  const double height = kHeader + kRow * double(bars.size()) + 6, room = kPageWidth - kLabels - kNumbers;
  const char* const color = phase_color(phase.name);
  std::string text = fmt::format(
      "<svg viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" aria-label=\"Time by operation\">\n",
      kPageWidth, height);
  text += rectangle(kLabels, 4, 18, color, 0.35) +
          fmt::format("<text x=\"{}\" y=\"18\">time of the operation</text>\n", kLabels + 26);
  text += rectangle(kLabels + 190, 4, 18, color, 1.0) +
          fmt::format("<text x=\"{}\" y=\"18\">of it, the least that the ceilings allow</text>\n", kLabels + 216);
  double y = kHeader;
  for (const Bar& bar : bars) {
    const double width = longest > 0.0 ? bar.seconds / longest * room : 0.0;
    text += fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", kLabels - 10, y + 14,
                        html_text(bar.label));
    text += rectangle(kLabels, y, width, bar.roof_seconds > 0.0 ? color : "#6b7280", 0.35);
    if (bar.roof_seconds > 0.0) text += rectangle(kLabels, y, bar.roof_seconds / longest * room, color, 1.0);
    const std::string roof = bar.roof_seconds > 0.0 && bar.seconds > 0.0
                                 ? fmt::format(", {:.2f} of roof", bar.roof_seconds / bar.seconds)
                                 : "";
    text += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}, {:.1f} %{}</text>\n", kLabels + width + 8, y + 14,
                        seconds_text(bar.seconds), 100.0 * bar.seconds / phase.timed_seconds, roof);
    y += kRow;
  }
  return text + "</svg>\n";
}

}  // namespace m2
