// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace m2 {

/// A text as HTML shows it: <, >, & and quotes escaped.
std::string html_text(std::string_view text);

/// The cells of a row of a table, as plain text.
using HtmlRow = std::vector<std::string>;
/// The first column is aligned left, the others right.
std::string html_table(const HtmlRow& header, const std::vector<HtmlRow>& rows);
std::string html_paragraph(std::string_view text);

/// A whole page that needs no other file. `body` is HTML.
std::string html_page(std::string_view title, std::string_view body);

}  // namespace m2
