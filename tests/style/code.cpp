// SPDX-License-Identifier: Apache-2.0
#include "style/code.hpp"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <set>

#include "core/error.hpp"

namespace m2::style {
namespace {

namespace fs = std::filesystem;

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)); }

std::size_t skip_spaces(std::string_view text, std::size_t at) {
  while (at < text.size() && is_space(text[at])) ++at;
  return at;
}

std::size_t skip_word(std::string_view text, std::size_t at) {
  while (at < text.size() && is_word(text[at])) ++at;
  return at;
}

// Position after the literal that begins at `at` with a quote.
std::size_t after_literal(std::string_view text, std::size_t at) {
  const char quote = text[at];
  if (quote == '"' && at > 0 && text[at - 1] == 'R') {
    const std::size_t open = text.find('(', at);
    if (open == std::string_view::npos) return text.size();
    const std::string end = ")" + std::string(text.substr(at + 1, open - at - 1)) + "\"";
    const std::size_t close = text.find(end, open);
    return close == std::string_view::npos ? text.size() : close + end.size();
  }
  for (++at; at < text.size() && text[at] != quote; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at + 1, text.size());
}

// A quote that begins a literal and is no digit separator as in 1'000.
bool begins_literal(std::string_view text, std::size_t at) {
  return text[at] == '"' || (text[at] == '\'' && !(at > 0 && std::isalnum(static_cast<unsigned char>(text[at - 1]))));
}

std::size_t after_comment(std::string_view text, std::size_t at) {
  if (text.substr(at, 2) == "//") return std::min(text.find('\n', at), text.size());
  const std::size_t end = text.find("*/", at + 2);
  return end == std::string_view::npos ? text.size() : end + 2;
}

void blank(std::string& text, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) {
    if (text[i] != '\n') text[i] = ' ';
  }
}

std::string blanked(std::string_view text, bool literals_too) {
  std::string out(text);
  for (std::size_t at = 0; at < text.size();) {
    if (text.substr(at, 2) == "//" || text.substr(at, 2) == "/*") {
      const std::size_t end = after_comment(text, at);
      blank(out, at, end);
      at = end;
    } else if (begins_literal(text, at)) {
      const std::size_t end = after_literal(text, at);
      if (literals_too) blank(out, at + 1, end - 1);
      at = end;
    } else {
      ++at;
    }
  }
  return out;
}

// Position after the template argument list that begins at `at`, or `at` if none does.
std::size_t skip_template_arguments(std::string_view text, std::size_t at) {
  if (at >= text.size() || text[at] != '<') return at;
  int depth = 0;
  for (std::size_t i = at; i < text.size(); ++i) {
    if (text[i] == '<') ++depth;
    if (text[i] == '>' && --depth == 0) return i + 1;
    if (text[i] == ';') break;  // a comparison after all
  }
  return at;
}

std::string trimmed(std::string_view text) {
  const std::size_t begin = skip_spaces(text, 0);
  std::size_t end = text.size();
  while (end > begin && is_space(text[end - 1])) --end;
  return std::string(text.substr(begin, end - begin));
}

// The arguments between the bracket at `open` and its partner. Angle brackets count only for commas: `View<T*,
// Layout>`.
std::vector<std::string> arguments_at(std::string_view text, std::size_t open) {
  std::vector<std::string> arguments;
  std::size_t begin = open + 1;
  int depth = 0;
  for (std::size_t at = open; at < text.size();) {
    const char c = text[at];
    if (begins_literal(text, at)) {
      at = after_literal(text, at);
      continue;
    }
    if (c == '(' || c == '{' || c == '[') ++depth;
    const bool closes = (c == ')' || c == '}' || c == ']') && --depth == 0;
    if (closes || (c == ',' && depth == 1)) {
      arguments.push_back(trimmed(text.substr(begin, at - begin)));
      begin = at + 1;
    }
    if (closes) break;
    const std::size_t after =
        is_word(c) && at + 1 < text.size() && text[at + 1] == '<' ? skip_template_arguments(text, at + 1) : at + 1;
    at = std::max(after, at + 1);
  }
  if (arguments.size() == 1 && arguments[0].empty()) arguments.clear();
  return arguments;
}

bool is_project_text(const fs::path& path) {
  static const std::set<std::string> kExtensions{".cpp", ".hpp",  ".cmake", ".in", ".sh",   ".sbatch",
                                                 ".py",  ".yaml", ".yml",   ".md", ".json", ".txt"};
  static const std::set<std::string> kNames{"run", ".clang-format", ".clang-tidy", ".gitignore", "LICENSE"};
  return kExtensions.contains(path.extension().string()) || kNames.contains(path.filename().string());
}

}  // namespace

std::vector<File> project_files(const fs::path& root) {
  static const std::set<std::string> kSkipped{".git",
                                              ".cache",
                                              "build",
                                              "inputs/demo/checkpoint",
                                              "tests/data/tiny-bf16",
                                              "tests/data/tiny-f32",
                                              "tests/data/tiny-fp8",
                                              "tests/data/tokenizer"};
  std::vector<File> files;
  for (auto entry = fs::recursive_directory_iterator(root); entry != fs::end(entry); ++entry) {
    const std::string path = entry->path().lexically_relative(root).generic_string();
    if (entry->is_directory() && kSkipped.contains(path)) entry.disable_recursion_pending();
    if (!entry->is_regular_file() || !is_project_text(entry->path())) continue;
    std::ifstream in(entry->path(), std::ios::binary);
    M2_REQUIRE(in.is_open(), "{}: cannot be read", path);
    files.push_back({path, std::string(std::istreambuf_iterator<char>(in), {})});
  }
  std::ranges::sort(files, {}, &File::path);
  return files;
}

std::string without_comments(std::string_view text) { return blanked(text, false); }

std::string without_literals(std::string_view text) { return blanked(text, true); }

std::string without_directives(std::string_view code) {
  std::string out(code);
  for (std::size_t begin = 0; begin < out.size();) {
    std::size_t end = std::min(out.find('\n', begin), out.size());
    const std::size_t first = skip_spaces(out, begin);
    if (first < end && out[first] == '#') {
      while (end < out.size() && end > begin && out[end - 1] == '\\')
        end = std::min(out.find('\n', end + 1), out.size());
      blank(out, begin, end);
    }
    begin = end + 1;
  }
  return out;
}

int line_of(std::string_view text, std::size_t position) {
  return 1 + int(std::ranges::count(text.substr(0, position), '\n'));
}

std::vector<Call> calls(std::string_view source, const std::vector<std::string>& names) {
  std::vector<Call> found;
  const std::string code = without_literals(source);
  for (std::size_t at = 0; at < code.size();) {
    if (!is_word(code[at])) {
      ++at;
      continue;
    }
    const std::size_t end = skip_word(code, at);
    const std::string name = code.substr(at, end - at);
    if (std::ranges::find(names, name) != names.end()) {
      std::size_t next = skip_spaces(code, skip_template_arguments(code, end));
      next = skip_spaces(code, skip_word(code, next));  // the variable of a declaration
      if (next < code.size() && (code[next] == '(' || code[next] == '{')) {
        found.push_back({name, at, arguments_at(source, next)});
      }
    }
    at = end;
  }
  return found;
}

}  // namespace m2::style
