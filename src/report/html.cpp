// SPDX-License-Identifier: Apache-2.0
#include "report/html.hpp"

#include <fmt/format.h>

namespace m2 {
namespace {

constexpr const char* kHead = R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{}</title>
<style>
body {{ font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #111827; background: #ffffff;
       max-width: 1040px; margin: 24px auto; padding: 0 20px; }}
h1 {{ font-size: 24px; margin: 0 0 4px; }}
h2 {{ font-size: 18px; margin: 32px 0 8px; }}
p {{ margin: 4px 0; color: #374151; }}
table {{ border-collapse: collapse; margin: 12px 0; width: 100%; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 4px 10px; border-bottom: 1px solid #e5e7eb; text-align: right; }}
th {{ border-bottom: 2px solid #9ca3af; font-weight: 600; }}
th:first-child, td:first-child {{ text-align: left; }}
svg {{ max-width: 100%; height: auto; font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }}
</style>
</head>
<body>
)";

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

std::string html_table(const HtmlRow& header, const std::vector<HtmlRow>& rows) {
  const auto line = [](const HtmlRow& cells, const char* tag) {
    std::string text = "<tr>";
    for (const std::string& cell : cells) text += fmt::format("<{0}>{1}</{0}>", tag, html_text(cell));
    return text + "</tr>\n";
  };
  std::string text = "<table>\n<thead>\n" + line(header, "th") + "</thead>\n<tbody>\n";
  for (const HtmlRow& row : rows) text += line(row, "td");
  return text + "</tbody>\n</table>\n";
}

std::string html_paragraph(std::string_view text) { return "<p>" + html_text(text) + "</p>\n"; }

std::string html_page(std::string_view title, std::string_view body) {
  return fmt::format(kHead, html_text(title)) + std::string(body) + "</body>\n</html>\n";
}

}  // namespace m2
