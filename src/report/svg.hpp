// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace m2 {

/// Elements of charts, in the page's pixels; `style` are more attributes. Texts are escaped.
std::string svg_begin(double width, double height, std::string_view label);
std::string svg_end();
std::string svg_line(double x1, double y1, double x2, double y2, std::string_view style);
std::string svg_rectangle(double x, double y, double width, double height, std::string_view color, double opacity);
/// `anchor`: "start", "middle" or "end", where (x, y) lies on the text's line.
std::string svg_text(double x, double y, std::string_view anchor, std::string_view text, std::string_view style = "");

}  // namespace m2
