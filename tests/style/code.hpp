// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace m2::style {

/// A text file of the project; `path` is relative to the project's root, with forward slashes.
struct File {
  std::string path;
  std::string text;
};

/// Every text file of the project: the programs, scripts, CMake files, decks and pages, without build folders and test
/// data.
std::vector<File> project_files(const std::filesystem::path& root);

/// `text` with the comments blanked out; line numbers and string literals stay.
std::string without_comments(std::string_view text);

/// The same with the contents of string and character literals blanked out too.
std::string without_literals(std::string_view text);

/// `code` with the preprocessor's lines blanked out, continued ones too.
std::string without_directives(std::string_view code);

/// 1-based line of a character.
int line_of(std::string_view text, std::size_t position);

/// A call or construction found in a source: where its name begins, and its arguments, trimmed.
struct Call {
  std::string name;
  std::size_t position;
  std::vector<std::string> arguments;
};

/// Every `name(...)`, `name{...}`, `name<...>(...)` and `name<...> variable(...)` in a source without comments. The
/// name is compared without its namespace.
std::vector<Call> calls(std::string_view source, const std::vector<std::string>& names);

}  // namespace m2::style
