// SPDX-License-Identifier: Apache-2.0
// Rules on the form of a source: lengths, spellings, the preprocessor.
#include <fmt/format.h>

#include <algorithm>
#include <regex>
#include <vector>

#include "style/rules.hpp"

namespace m2::style {
namespace {

constexpr int kMaxFileLines = 300;
constexpr int kMaxFunctionLines = 60;

bool is_code(const File& file) {
  const bool is_ours = file.path.starts_with("src/") || file.path.starts_with("apps/") ||
                       file.path.starts_with("tests/") || file.path.starts_with("docs/");
  return is_ours && (file.path.ends_with(".cpp") || file.path.ends_with(".hpp"));
}

// What a brace opens, by the text between the last `;`, `{` or `}` and it.
enum class Opens { scope, function, other };

Opens opened_by(const std::string& head) {
  static const std::regex kScope("\\b(namespace|class|struct|union|enum|extern)\\b");
  static const std::regex kFunction(
      "\\)\\s*(const|noexcept|override|final|mutable|->[^{}]*|:[^{}]*|requires[^{}]*|\\s)*$");
  if (std::regex_search(head, std::regex("=\\s*$"))) return Opens::other;
  if (std::regex_search(head, kFunction)) return Opens::function;
  return std::regex_search(head, kScope) ? Opens::scope : Opens::other;
}

struct Block {
  Opens opens;
  std::size_t head;  // where its statement begins
};

std::size_t first_word(const std::string& code, std::size_t at) {
  while (at < code.size() && std::isspace(static_cast<unsigned char>(code[at]))) ++at;
  return at;
}

// Text of a function's name and parameters, for the message: its first line.
std::string first_line(const std::string& text, std::size_t at) {
  const std::string line = text.substr(at, text.find('\n', at) - at);
  return line.substr(0, 60);
}

// Functions at namespace or class scope; bodies of lambdas count with the function they are in.
Breaches long_functions(const File& file) {
  Breaches breaches;
  const std::string code = without_directives(without_literals(without_comments(file.text)));
  std::vector<Block> open;
  std::size_t statement = 0;
  for (std::size_t at = 0; at < code.size(); ++at) {
    const char c = code[at];
    if (c == '{') {
      const bool at_scope = std::ranges::all_of(open, [](const Block& block) { return block.opens == Opens::scope; });
      open.push_back({at_scope ? opened_by(code.substr(statement, at - statement)) : Opens::other, statement});
    } else if (c == '}' && !open.empty()) {
      const Block block = open.back();
      open.pop_back();
      if (block.opens == Opens::function) {
        const std::size_t begin = first_word(code, block.head);
        const int lines = line_of(code, at) - line_of(code, begin) + 1;
        if (lines > kMaxFunctionLines) {
          breaches.push_back(fmt::format("{}:{}: {} lines in one function, at most {}: {}", file.path,
                                         line_of(code, begin), lines, kMaxFunctionLines, first_line(file.text, begin)));
        }
      }
    }
    if (c == ';' || c == '{' || c == '}') statement = at + 1;
  }
  return breaches;
}

void report_matches(const File& file, const std::string& code, const char* pattern, const char* what,
                    Breaches& breaches) {
  const std::regex regex(pattern);
  for (auto match = std::sregex_iterator(code.begin(), code.end(), regex); match != std::sregex_iterator(); ++match) {
    const auto position = std::size_t(match->position());
    breaches.push_back(fmt::format("{}:{}: '{}': {}", file.path, line_of(code, position), match->str(), what));
  }
}

}  // namespace

Breaches length_breaches(const File& file) {
  if (!is_code(file)) return {};
  Breaches breaches = long_functions(file);
  const auto lines = std::ranges::count(file.text, '\n');
  if (lines > kMaxFileLines) {
    breaches.push_back(fmt::format("{}: {} lines in one file, at most {}", file.path, lines, kMaxFileLines));
  }
  return breaches;
}

Breaches spelling_breaches(const File& file) {
  if (!is_code(file)) return {};
  Breaches breaches;
  const std::string code = without_literals(without_comments(file.text));
  report_matches(file, code, "\\bk[A-Z][A-Za-z0-9]*_[a-z]+\\b", "constants are kCamelCase, units included", breaches);
  report_matches(file, code, "\\bstatic_cast<[A-Za-z_:0-9]+>", "write T(x)", breaches);
  report_matches(file, code,
                 "[=(,&|+*/<>-]\\s*\\((u?int[0-9]*(_t)?|unsigned|float|double|char|long|s?size_t)\\)[A-Za-z_0-9(]",
                 "write T(x)", breaches);
  return breaches;
}

Breaches backend_breaches(const File& file) {
  static const char* const kMacros =
      "#\\s*(if|ifdef|ifndef|elif)\\b[^\n]*\\b(KOKKOS_ENABLE_[A-Z]+|__CUDA[A-Z_]*|__HIP[A-Z_]*)";
  if (!file.path.starts_with("src/") && !file.path.starts_with("apps/")) return {};
  if (file.path.starts_with("src/kernels/") || file.path.starts_with("src/comm/") || !is_code(file)) return {};
  Breaches breaches;
  report_matches(file, without_comments(file.text), kMacros, "let CMake choose a source for the backend", breaches);
  return breaches;
}

}  // namespace m2::style
