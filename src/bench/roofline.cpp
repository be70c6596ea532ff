// SPDX-License-Identifier: Apache-2.0
#include "bench/roofline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "bench/texts.hpp"
#include "report/html.hpp"
#include "report/svg.hpp"

namespace m2 {
namespace {

constexpr double kWidth = 1000, kHeight = 600, kLeft = 84, kRight = 24, kTop = 20, kBottom = 58;
constexpr double kFontWidth = 7.2, kFontHeight = 14;  // of a character of the labels, about
constexpr double kLeastLabelShare = 0.01;             // of the time: operations below have a dot without a label
constexpr double kLeastDot = 0.002;                   // of the time: operations below have no dot

// Whole decades of a logarithmic axis, and where they lie on the page.
struct Axis {
  double first, last;  // exponents of ten
  double begin, end;   // on the page

  double at(double value) const { return begin + (std::log10(value) - first) / (last - first) * (end - begin); }
};

struct Dot {
  double intensity, flop_per_second, share;
  std::string label, phase;
  double x = 0.0, y = 0.0, radius = 0.0;
};

struct Box {
  double left, top, right, bottom;

  bool overlaps(const Box& other) const {
    return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
  }
};

std::vector<Dot> dots_of(const BenchResult& result) {
  std::vector<Dot> dots;
  for (const BenchPhase& phase : result.phases) {
    for (const OperationLog::Entry& entry : phase.operations) {
      if (entry.cost.flop == 0 || entry.cost.bytes == 0 || entry.seconds <= 0.0) continue;
      const double share = entry.seconds / phase.timed_seconds;
      if (share < kLeastDot) continue;
      dots.push_back({.intensity = double(entry.cost.flop) / double(entry.cost.bytes),
                      .flop_per_second = double(entry.cost.flop) / entry.seconds,
                      .share = share,
                      .label = entry.label(),
                      .phase = phase.name,
                      .radius = 3.5 + 7.0 * std::sqrt(share)});
    }
  }
  std::ranges::sort(dots, [](const Dot& a, const Dot& b) { return a.share > b.share; });
  return dots;
}

double highest_peak(const Ceilings& ceilings) {
  return std::max(ceilings.float32_flop_per_second, ceilings.bfloat16_flop_per_second.value_or(0.0));
}

class Roofline {
 public:
  explicit Roofline(const BenchResult& result) : ceilings_(result.rank_ceilings), dots_(dots_of(result)) {
    for (const BenchPhase& phase : result.phases) phases_.push_back(phase.name);
    double least_x = 0.1, most_x = 2.0 * highest_peak(ceilings_) / ceilings_.read_bytes_per_second;
    double least_y = 1e9, most_y = highest_peak(ceilings_);
    for (const Dot& dot : dots_) {
      least_x = std::min(least_x, dot.intensity);
      most_x = std::max(most_x, 2.0 * dot.intensity);
      least_y = std::min(least_y, dot.flop_per_second);
      most_y = std::max(most_y, dot.flop_per_second);
    }
    x_ = {std::floor(std::log10(least_x)), std::ceil(std::log10(most_x)), kLeft, kWidth - kRight};
    y_ = {std::floor(std::log10(least_y)), std::ceil(std::log10(1.6 * most_y)), kHeight - kBottom, kTop};
    for (Dot& dot : dots_) {
      dot.x = x_.at(dot.intensity);
      dot.y = y_.at(dot.flop_per_second);
      taken_.push_back({dot.x - dot.radius, dot.y - dot.radius, dot.x + dot.radius, dot.y + dot.radius});
    }
  }

  std::string svg() {
    std::string text = svg_begin(kWidth, kHeight, "Roofline");
    text += grid() + roofs() + legend();
    for (const Dot& dot : dots_) text += dot_svg(dot);
    return text + svg_end();
  }

 private:
  std::string grid() const {
    const std::string fine = "stroke=\"#e5e7eb\"", frame = "stroke=\"#6b7280\"";
    std::string text;
    for (int decade = int(x_.first); decade <= int(x_.last); ++decade) {
      const double x = x_.at(std::pow(10.0, decade));
      text += svg_line(x, y_.begin, x, y_.end, decade == int(x_.first) ? frame : fine);
      text += svg_text(x, y_.begin + 20, "middle", fmt::format("{:g}", std::pow(10.0, decade)));
    }
    for (int decade = int(y_.first); decade <= int(y_.last); ++decade) {
      const double y = y_.at(std::pow(10.0, decade));
      text += svg_line(x_.begin, y, x_.end, y, decade == int(y_.first) ? frame : fine);
      text += svg_text(x_.begin - 8, y + 4, "end", fmt::format("{:g}", std::pow(10.0, decade - 9)));
    }
    text += svg_text((x_.begin + x_.end) / 2, kHeight - 12, "middle", "FLOP per byte", "font-weight=\"600\"");
    const double middle = (y_.begin + y_.end) / 2;
    return text + svg_text(22, middle, "middle", "GFLOP/s",
                           fmt::format("font-weight=\"600\" transform=\"rotate(-90 22 {:.1f})\"", middle));
  }

  std::string peak_svg(double peak, const std::string& label, std::string_view style) {
    const double ridge = peak / ceilings_.read_bytes_per_second, y = y_.at(peak);
    const double width = double(label.size()) * kFontWidth;
    taken_.push_back({x_.end - 6 - width, y - 6 - kFontHeight, x_.end - 6, y});
    return svg_line(x_.at(ridge), y, x_.end, y, style) + svg_text(x_.end - 6, y - 6, "end", label);
  }

  std::string roofs() {
    const double bandwidth = ceilings_.read_bytes_per_second, peak = highest_peak(ceilings_), ridge = peak / bandwidth;
    // The diagonal enters at the left edge or, where that is below the plot, at the lower one.
    const double first = std::max(std::pow(10.0, x_.first), std::pow(10.0, y_.first) / bandwidth);
    const std::string solid = "stroke=\"#111827\" stroke-width=\"2\"";
    std::string text = svg_line(x_.at(first), y_.at(first * bandwidth), x_.at(ridge), y_.at(peak), solid);
    const double place = std::pow(first, 0.7) * std::pow(ridge, 0.3);  // of the label, along the diagonal
    const double x = x_.at(place), y = y_.at(place * bandwidth) - 8;
    for (double along = first; along < ridge; along *= 1.1) {
      const double at_x = x_.at(along), at_y = y_.at(along * bandwidth), above = std::abs(at_x - x) < 80 ? 24 : 4;
      taken_.push_back({at_x - 6, at_y - above, at_x + 6, at_y + 4});
    }
    const double slope = (y_.begin - y_.end) / (y_.last - y_.first) / ((x_.end - x_.begin) / (x_.last - x_.first));
    text += svg_text(x, y, "middle", fmt::format("memory: {} GB/s", giga_text(bandwidth)),
                     fmt::format("transform=\"rotate({:.1f} {:.1f} {:.1f})\"", -std::atan(slope) * 57.29578, x, y));
    if (ceilings_.bfloat16_flop_per_second) {
      const double bfloat16 = *ceilings_.bfloat16_flop_per_second;
      text += peak_svg(bfloat16, fmt::format("bfloat16: {} GFLOP/s", giga_text(bfloat16)), solid);
    }
    const double float32 = ceilings_.float32_flop_per_second;
    return text + peak_svg(float32, fmt::format("float32: {} GFLOP/s", giga_text(float32)),
                           ceilings_.bfloat16_flop_per_second
                               ? "stroke=\"#111827\" stroke-width=\"1.5\" stroke-dasharray=\"6 4\""
                               : solid);
  }

  std::string legend() {
    std::string text;
    double y = kTop + 20;
    for (const std::string& phase : phases_) {
      text += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"6\" fill=\"{}\" fill-opacity=\"0.75\"/>\n", kLeft + 20,
                          y - 4, phase_color(phase));
      text += svg_text(kLeft + 34, y, "start", phase);
      y += 20;
    }
    text += svg_text(kLeft + 14, y, "start", "larger: more of the time");
    taken_.push_back({kLeft, kTop, kLeft + 190, y + 6});
    return text;
  }

  std::string dot_svg(const Dot& dot) {
    std::string text = fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\" fill=\"{}\" "
        "fill-opacity=\"0.75\"><title>{}</title></circle>\n",
        dot.x, dot.y, dot.radius, phase_color(dot.phase),
        html_text(fmt::format("{}, {}: {} GFLOP/s at {:.3g} FLOP per byte, {:.1f} % of the time", dot.phase, dot.label,
                              giga_text(dot.flop_per_second), dot.intensity, 100.0 * dot.share)));
    if (dot.share >= kLeastLabelShare) text += label_svg(dot);
    return text;
  }

  // The first place around the dot where the label covers nothing; further away, a line leads to it.
  std::string label_svg(const Dot& dot) {
    const double width = double(dot.label.size()) * kFontWidth;
    for (const double distance : {4.0, 16.0, 30.0, 46.0, 64.0, 84.0, 106.0}) {
      for (const double angle : {0.0, 180.0, 60.0, -60.0, 120.0, -120.0, 90.0, -90.0, 30.0, -30.0, 150.0, -150.0}) {
        const double dx = std::cos(angle / 57.29578), dy = std::sin(angle / 57.29578);
        const double x = dot.x + dx * (dot.radius + distance), y = dot.y + dy * (dot.radius + distance);
        const double left = dx > 0.2 ? x : dx < -0.2 ? x - width : x - width / 2;
        const Box box{left - 2, y - kFontHeight / 2, left + width + 2, y + kFontHeight / 2};
        const bool inside = box.left > x_.begin && box.right < x_.end && box.top > y_.end && box.bottom < y_.begin;
        if (!inside || std::ranges::any_of(taken_, [&](const Box& other) { return box.overlaps(other); })) continue;
        taken_.push_back(box);
        const std::string color = fmt::format("fill=\"{}\"", phase_color(dot.phase));
        const std::string leader =
            distance < 10.0 ? ""
                            : svg_line(dot.x + dx * dot.radius, dot.y + dy * dot.radius, x, y, "stroke=\"#9ca3af\"");
        return leader + svg_text(x, y + 4, dx > 0.2 ? "start" : dx < -0.2 ? "end" : "middle", dot.label, color);
      }
    }
    return "";  // the title of the dot has it, and so has the table
  }

  const Ceilings& ceilings_;
  std::vector<Dot> dots_;
  std::vector<std::string> phases_;
  Axis x_{}, y_{};
  std::vector<Box> taken_;
};

}  // namespace

std::string roofline_svg(const BenchResult& result) { return Roofline(result).svg(); }

}  // namespace m2
