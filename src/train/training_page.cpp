// SPDX-License-Identifier: Apache-2.0
#include "train/training_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "report/html.hpp"
#include "report/svg.hpp"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kWidth = 900, kHeight = 260, kLeft = 80, kRight = 16, kTop = 14, kBottom = 34;
constexpr const char* kColors[] = {"#1f77b4", "#d62728"};

struct Curve {
  std::string name;
  std::vector<double> x = {}, y = {};

  void add(const Json& line, const Json& value) {
    if (!value.is_number()) return;  // null: not finite, or not measured
    x.push_back(line.at("step").get<double>());
    y.push_back(value.get<double>());
  }
};

struct Axis {
  double low, high, begin, end;
  double at(double value) const { return begin + (value - low) / (high - low) * (end - begin); }
};

Axis axis_of(std::span<const Curve> curves, std::vector<double> Curve::* numbers, double begin, double end) {
  double low = INFINITY, high = -INFINITY;
  for (const Curve& curve : curves) {
    for (const double value : curve.*numbers) low = std::min(low, value), high = std::max(high, value);
  }
  if (low == high) low -= 0.5, high += 0.5;
  return {low, high, begin, end};
}

std::string polyline(const Curve& curve, const Axis& x, const Axis& y, const char* color) {
  const std::string style = fmt::format("stroke=\"{}\" stroke-width=\"1.5\"", color);
  std::string text;
  for (std::size_t i = 1; i < curve.x.size(); ++i) {
    text += svg_line(x.at(curve.x[i - 1]), y.at(curve.y[i - 1]), x.at(curve.x[i]), y.at(curve.y[i]), style);
  }
  if (curve.x.size() == 1) text += svg_rectangle(x.at(curve.x[0]) - 2, y.at(curve.y[0]) - 2, 4, 4, color, 1.0);
  return text;
}

std::string chart(std::string_view title, std::vector<Curve> curves) {
  std::erase_if(curves, [](const Curve& curve) { return curve.x.empty(); });
  if (curves.empty()) return "";
  constexpr int kTicks = 4;
  const Axis x = axis_of(curves, &Curve::x, kLeft, kWidth - kRight);
  const Axis y = axis_of(curves, &Curve::y, kHeight - kBottom, kTop);
  std::string text = fmt::format("<h2>{}</h2>\n", html_text(title)) + svg_begin(kWidth, kHeight, title);
  for (int tick = 0; tick <= kTicks; ++tick) {
    const double share = double(tick) / kTicks;
    const double at_x = x.low + share * (x.high - x.low), at_y = y.low + share * (y.high - y.low);
    text += svg_line(kLeft, y.at(at_y), kWidth - kRight, y.at(at_y), "stroke=\"#ddd\"");
    text += svg_text(kLeft - 6, y.at(at_y) + 4, "end", fmt::format("{:.4g}", at_y));
    text += svg_text(x.at(at_x), kHeight - kBottom + 18, "middle", fmt::format("{:.0f}", at_x));
  }
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const char* color = kColors[i % std::size(kColors)];
    text += polyline(curves[i], x, y, color);
    text += svg_text(kWidth - kRight - 4, kTop + 12 + 16 * double(i), "end", curves[i].name,
                     fmt::format("fill=\"{}\"", color));
  }
  return text + svg_end();
}

// Of every layer's `key`, the mean over the layers.
double mean_over_layers(const Json& line, const char* key) {
  const Json& layers = line.at("expert_load");
  double sum = 0.0;
  for (const Json& layer : layers) sum += layer.at(key).get<double>();
  return layers.empty() ? 0.0 : sum / double(layers.size());
}

}  // namespace

std::string training_page(std::span<const Json> lines, std::span<const std::string> facts) {
  Curve loss{"training"}, validation{"validation"}, norm{"norm"}, rate{"learning rate"}, speed{"tokens/s"};
  Curve cv{"coefficient of variation"}, dead{"experts without a token"};
  for (const Json& line : lines) {
    if (line.contains("validation_loss")) validation.add(line, line.at("validation_loss"));
    if (!line.contains("loss")) continue;
    loss.add(line, line.at("loss"));
    norm.add(line, line.at("grad_norm"));
    rate.add(line, line.at("learning_rate"));
    speed.add(line, line.at("tokens_per_second"));
    cv.add(line, mean_over_layers(line, "cv"));
    dead.add(line, mean_over_layers(line, "dead_fraction"));
  }
  std::string body = "<h1>KokkosM2 training</h1>\n";
  for (const std::string& fact : facts) body += html_paragraph(fact);
  body += chart("Loss by step", {loss, validation});
  body += chart("Norm of the gradient before clipping", {norm});
  body += chart("Learning rate", {rate});
  body += chart("Tokens per second", {speed});
  body += chart("Spread of the tokens over the experts, mean of the layers", {cv, dead});
  return html_page("KokkosM2 training", body);
}

}  // namespace m2
